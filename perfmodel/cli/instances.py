"""``perfmodel cpus --instances``: what can be rented, and for how much."""

from __future__ import annotations

from typing import Any

from perfmodel._text import significant
from perfmodel.cli.rendering import Column, Table, show
from perfmodel.machine.rented import Family, families, family


def show_instances(format: str) -> None:
    """Every instance that comes with perfmodel: its CPU, cores, memory and prices."""

    def records() -> list[dict[str, Any]]:
        return [record for name in families() for record in _records(name, family(name))]

    show(format, records, lambda: [_table(records())])


def _records(name: str, found: Family) -> list[dict[str, Any]]:
    return [
        {
            "id": size,
            "family": name,
            "provider": found.provider,
            "cpu": found.cpu,
            "vcpus": int(record.vcpus.typical),
            "cores": found.cores(record),
            "memory_gib": record.memory.typical / 2**30,
            "usd_per_hour": {
                region: prices.hour[size].typical * 3600
                for region, prices in found.price.items()
                if size in prices.hour
            },
            "priced_on": {region: str(prices.date) for region, prices in found.price.items()},
        }
        for size, record in found.sizes.items()
    ]


def _table(records: list[dict[str, Any]]) -> Table:
    table = Table(
        [
            Column("instance", "left"),
            Column("provider", "left"),
            Column("CPU", "left"),
            Column("vCPUs"),
            Column("cores"),
            Column("memory\nGiB"),
            Column("USD\nper hour"),
            Column("region, date", "left", wraps=True),
        ],
        caption="Prices: on demand; perfmodel cpus --sources NAME has where each is from.",
    )
    last = ""
    for record in records:
        prices = record["usd_per_hour"]
        table.add(
            record["id"],
            record["provider"],
            record["cpu"],
            str(record["vcpus"]),
            str(record["cores"]),
            f"{record['memory_gib']:g}",
            ", ".join(significant(price) for price in prices.values()) or "-",
            ", ".join(f"{region}, {record['priced_on'][region]}" for region in prices),
            section=record["family"] != last,
        )
        last = record["family"]
    return table
