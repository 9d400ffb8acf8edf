#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds doc/pipeline.rst to the code: usage: pipeline-doc.py RST HEADER FLOWS

HEADER is flows/pipeline.h, FLOWS what "lateen-test compile" prints.  Compares
the tables (number and name), and for each table the set of (priority, names of
matched fields).  Prints what one has and the other has not; exit status 1 if
there is anything."""

import re
import sys


def fields(match):
    """The names of the fields that a match speaks of, with the table and the
    priority left out, and reg0's two halves kept apart."""
    names = set()
    for term in re.split(r",(?![^()]*\))", match):
        name, _, value = term.strip().partition("=")
        if name == "reg0":
            name += "to" if value.endswith("0xf0") else "from"
        names.add({"dl_src": "eth_src", "dl_dst": "eth_dst",
                   "udp_dst": "tp_dst"}.get(name, name))
    return frozenset(names - {"", "table", "priority", "cookie"})


def documented(rst):
    tables, entries, table = {}, set(), None
    text = open(rst, encoding="utf-8").read()
    text = re.sub(r"\n  +(?=\S)", " ", text)
    for line in text.split("\n"):
        heading = re.fullmatch(r"Table (\d+): (\w+)", line)
        if heading:
            table = heading[2]
            tables[table] = int(heading[1])
        entry = re.match(r"\* (\d+) (?:any|``([^`]*)``):", line)
        if entry and table:
            entries.add((table, int(entry[1]), fields(entry[2] or "")))
        elif line.startswith("* ") and table:
            sys.exit(f"{rst}: cannot read the entry: {line}")
    return tables, entries


def compiled(flows):
    entries = set()
    for line in open(flows, encoding="utf-8"):
        match = line.partition("actions=")[0].replace('"', "").strip()
        table = re.search(r"table=(\w+)", match)[1]
        priority = re.search(r"priority=(\d+)", match)
        terms = re.sub(r"^(add|delete|modify)\w*\s*:?\s*", "",
                       match, flags=re.I).replace(" ", ",")
        entries.add((table, int(priority[1]) if priority else 32768,
                     fields(terms)))
    return entries


def show(entry):
    return f"{entry[0]}: {entry[1]} {','.join(sorted(entry[2])) or 'any'}"


def main():
    rst, header, flows = sys.argv[1:4]
    doc_tables, doc_entries = documented(rst)
    text = open(header, encoding="utf-8").read()
    code_tables = {name: int(number) for number, name in re.findall(
        r"PIPELINE_TABLE\((\d+), \w+, (\w+)\)", text)}
    # No table of the pipeline, and no flow of the compiler's is in it.
    nudge = re.search(r"#define TABLE_NUDGE (\d+)", text)
    code_tables["nudge"] = int(nudge[1])
    code_entries = compiled(flows)
    wrong = 0
    for name in sorted(doc_tables.items() ^ code_tables.items()):
        where = "documented" if name in doc_tables.items() else "in the code"
        print(f"only {where}: table {name[1]} {name[0]}")
        wrong = 1
    for only, where in ((doc_entries - code_entries, "documented"),
                        (code_entries - doc_entries, "in the code")):
        for entry in sorted(only, key=show):
            print(f"only {where}: {show(entry)}")
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
