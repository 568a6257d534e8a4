#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws a terminal's screen as SVG: how docs/top.svg was made.

    tmux capture-pane -e -p -t NAME | docs/shot.py COLUMNS > docs/top.svg

Reads text with SGR escapes (bold, dim, reverse, colours). The terminal has a background
of its own, so the picture is the same on light and dark pages.
"""
import re
import sys
from xml.sax.saxutils import escape

COLS = int(sys.argv[1])
W, H, PAD = 7.8, 17, 12  # a cell, and the frame
BG, FG = "#12171e", "#d3dae2"
BASE = ["#3b4450", "#f0716b", "#7fcf7a", "#e6c25c", "#6fa8f0", "#cf8fe0", "#5cc8cf", "#d3dae2"]
BRIGHT = ["#7c8896", "#ff8f88", "#9be896", "#ffdf7e", "#90c2ff", "#e5adf3", "#83e3e9", "#ffffff"]


def colour(n):
    if n < 8:
        return BASE[n]
    if n < 16:
        return BRIGHT[n - 8]
    if n < 232:
        n -= 16
        return "#%02x%02x%02x" % tuple(55 + 40 * v if v else 0 for v in (n // 36, n // 6 % 6, n % 6))
    return "#" + "%02x" % (8 + 10 * (n - 232)) * 3


class Look:
    def __init__(self):
        self.fg = self.bg = None
        self.bold = self.dim = self.reverse = False

    def take(self, codes):
        codes = [int(c or 0) for c in codes.split(";")]
        while codes:
            c = codes.pop(0)
            if c == 0:
                self.__init__()
            elif c in (1, 2, 7):
                setattr(self, {1: "bold", 2: "dim", 7: "reverse"}[c], True)
            elif c == 22:
                self.bold = self.dim = False
            elif c == 27:
                self.reverse = False
            elif c in (38, 48) and codes[:1] == [5]:
                setattr(self, "fg" if c == 38 else "bg", colour(codes[1]))
                del codes[:2]
            elif c in (39, 49):
                setattr(self, "fg" if c == 39 else "bg", None)
            else:
                for lo, name, table in ((30, "fg", BASE), (40, "bg", BASE), (90, "fg", BRIGHT), (100, "bg", BRIGHT)):
                    if lo <= c < lo + 8:
                        setattr(self, name, table[c - lo])


def main():
    lines = sys.stdin.read().rstrip("\n").split("\n")
    width, height = COLS * W + 2 * PAD, len(lines) * H + 2 * PAD
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="t"'
          f' font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="13">')
    print("<!-- SPDX-License-Identifier: MIT; made by docs/shot.py -->")
    print('<title id="t">gpufasctl top: the machine, the rules with how close each is to firing, the processes</title>')
    print(f'<rect width="{width:g}" height="{height:g}" rx="8" fill="{BG}"/>')
    look = Look()
    for row, line in enumerate(lines):
        col = 0
        y = PAD + row * H
        for part in re.split(r"(\x1b\[[0-9;]*m)", line):
            if part.startswith("\x1b"):
                look.take(part[2:-1])
                continue
            # A run of blanks needs no text, and each run stands at its column whatever the font.
            fg, bg = look.fg or FG, look.bg
            if look.reverse:
                fg, bg = bg or BG, look.fg or FG
            if bg and part:
                print(f'<rect x="{PAD + col * W:g}" y="{y}" width="{len(part) * W:g}" height="{H}" fill="{bg}"/>')
            for run in re.finditer(r"\S+(?: \S+)*", part):
                s = run.group()
                style = (' font-weight="700"' if look.bold else "") + (' opacity=".62"' if look.dim else "")
                print(f'<text x="{PAD + (col + run.start()) * W:g}" y="{y + 13}" textLength="{len(s) * W:g}"'
                      f' lengthAdjust="spacingAndGlyphs" xml:space="preserve" fill="{fg}"{style}>{escape(s)}</text>')
            col += len(part)
    print("</svg>")


main()
