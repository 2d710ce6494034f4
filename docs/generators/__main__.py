"""Write the generated documents: ``nox -s docs``."""

from __future__ import annotations

from docs.generators import DOCUMENTS, FOLDER, gallery, readme

for name, render in DOCUMENTS.items():
    path, text = FOLDER / name, render()
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        print(f"docs/{name}: written")

for file in gallery.write():
    print(f"{file}: drawn")

text = readme.render()
if readme.README.read_text(encoding="utf-8") != text:
    readme.README.write_text(text, encoding="utf-8")
    print("README.md: outputs written")
