"""Two examples of each command, which its ``--help`` ends with."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final = {
    "compare": (
        "perfmodel compare resnet50 vit_l_16 --cpu xeon_8490h --cpu epyc_9654",
        "perfmodel compare llama_7b --phase decode --context 1024 --precision w8",
    ),
    "rank": (
        "perfmodel rank vit_l_16 --precision fp32",
        "perfmodel rank gpt2_xl --phase prefill --precision bf16 --sweep tokens=1:1024",
    ),
    "serve": (
        "perfmodel serve resnet50 --max-latency 5ms",
        "perfmodel serve llama_3_8b --tokens 1024 --output 256 --ttft 3s --tpot 200ms --rps 4",
    ),
    "tco": (
        "perfmodel tco resnet50 --rps 10000 --max-latency 50ms",
        "perfmodel tco vit_b_16 --cpu epyc_9654 --cpu c7i.8xlarge --hours-per-month 240",
    ),
    "explain": (
        "perfmodel explain vit_l_16 --cpu xeon_8490h",
        "perfmodel explain nets.py:encoder --cpu epyc_9654 --software eager --top 5",
    ),
    "explore": (
        "perfmodel explore space.toml --output results",
        "perfmodel explore results --minimise latency_ms --maximise fps_per_watt",
    ),
    "report": (
        "perfmodel report resnet50 vit_l_16 --output report.html",
        "perfmodel report bert_base --rps 1000 --from results --cpu xeon_8490h --cpu graviton4",
    ),
    "diff": (
        "perfmodel diff base.json head.json --fail-above 5%",
        "perfmodel diff main...HEAD --models nets.py:encoder --cpu graviton4",
    ),
    "cpus": (
        "perfmodel cpus --sources epyc_9654",
        "perfmodel cpus --check my_cpu.toml",
    ),
    "models": (
        "perfmodel models",
        "perfmodel models --flops --format csv",
    ),
    "trace": (
        "perfmodel trace resnet50 --batch 8 --output resnet50.json",
        "perfmodel trace nets.py:encoder --output - | gzip > encoder.json.gz",
    ),
    "calibrate": (
        "perfmodel calibrate --host --software openvino --output host.toml",
        "perfmodel calibrate --from llama_cpp --cpu ampereone_192 --output fitted.toml",
    ),
    "validate": (
        "perfmodel validate --measurements desktops",
        "perfmodel validate --host resnet50 vit_b_16 --cpu host.toml",
    ),
}


def epilog(command: str) -> str:
    """Return the end of a command's help, whose lines are kept as they are."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in EXAMPLES[command])])
