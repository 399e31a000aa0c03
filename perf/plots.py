"""Inline SVG for the report. Colours and text sizes come from the page's style sheet, so that it reads in light and in dark."""

import math
from html import escape


def number(value):
    if value is None:
        return ""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _svg(width, height, parts, label):
    return (f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}" style="max-width:{width}px">'
            + "".join(parts) + "</svg>")


def _text(x, y, text, css="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{css}">{escape(str(text))}</text>'


def bars(rows, label, marks=()):
    """Horizontal bars. rows: (peer, median, low, high); marks: (value, text), vertical lines."""
    left, right, step, top = 92, 52, 22, 6
    width, height = 340, top + step * len(rows) + (18 if marks else 6)
    most = max([high for _, _, _, high in rows] + [value for value, _ in marks]) or 1
    scale = (width - left - right) / most
    parts = []
    for index, (peer, value, low, high) in enumerate(rows):
        y = top + index * step
        parts.append(_text(left - 8, y + 15, peer, "name", "end"))
        parts.append(f'<rect x="{left}" y="{y + 4}" width="{max(1, value * scale):.1f}" height="{step - 8}" rx="2" class="f-{peer}"/>')
        if high > low:
            middle = y + step / 2
            parts.append(f'<path d="M{left + low * scale:.1f} {middle}H{left + high * scale:.1f}" class="whisker"/>')
            parts += [f'<path d="M{left + end * scale:.1f} {middle - 4}v8" class="whisker"/>' for end in (low, high)]
        parts.append(_text(left + max(value, high) * scale + 6, y + 16, number(value), "value"))
    for value, text in marks:
        x = left + value * scale
        parts.append(f'<path d="M{x:.1f} {top}V{height - 14}" class="mark"/>')
        parts.append(_text(x, height - 3, text, "small", "middle"))
    return _svg(width, height, parts, label)


def ratio_rows(groups, label):
    """Dots with ranges on a logarithmic axis. groups: (title, [(peer, median, low, high, target or None)])."""
    left, right, step, gap = 190, 16, 18, 10
    width = 900
    values = [value for _, rows in groups for _, _, low, high, target in rows for value in (low, high, target) if value]
    low_edge = min([0.5, *values]) * 0.9
    high_edge = max([2.0, *values]) * 1.15

    def x_of(value):
        return left + (math.log(value) - math.log(low_edge)) / (math.log(high_edge) - math.log(low_edge)) * (width - left - right)

    height = 26 + sum(step * len(rows) + gap for _, rows in groups)
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50) if low_edge <= tick <= high_edge]
    parts = [f'<path d="M{x_of(tick):.1f} 18V{height}" class="{"one" if tick == 1 else "grid"}"/>'
             + _text(x_of(tick), 12, f"{tick:g}x", "small", "middle") for tick in ticks]
    y = 26
    for title, rows in groups:
        parts.append(_text(left - 12, y + step * len(rows) / 2 + 4, title, "name", "end"))
        for peer, value, low, high, target in rows:
            middle = y + step / 2
            parts.append(f'<path d="M{x_of(low):.1f} {middle}H{x_of(high):.1f}" class="range s-{peer}"/>')
            parts.append(f'<circle cx="{x_of(value):.1f}" cy="{middle}" r="5" class="f-{peer}"><title>{escape(title)} vs {peer}: '
                         f'{value:.2f} [{low:.2f}-{high:.2f}]</title></circle>')
            parts.append(_text(x_of(high) + 9, middle + 4, f"{value:.2f}", "small"))
            if target:
                parts.append(f'<path d="M{x_of(target):.1f} {middle - 7}v14" class="target"><title>target {target:g}x</title></path>')
            y += step
        y += gap
    return _svg(width, height, parts, label)


def quantile(cells, share):
    """The value below which `share` of a histogram [(lower, width, count)] lies."""
    wanted, seen = share * sum(count for _, _, count in cells), 0
    for lower, width, count in cells:
        if seen + count >= wanted:
            return lower + width * (wanted - seen) / count
        seen += count
    return cells[-1][0] + cells[-1][1]


def percentiles(series, label):
    """Latency over percentile, both logarithmic. series: (peer, [(lower, width, count)])."""
    left, top, width, height, bottom = 58, 10, 640, 300, 26
    shares = [0.0] + [1 - 10 ** (-step / 20) for step in range(1, 81)]
    curves = []
    for peer, cells in series:
        total = sum(count for _, _, count in cells)
        usable = [share for share in shares if total * (1 - share) >= 3]  # the last values are single events
        curves.append((peer, [(share, max(1.0, quantile(cells, share))) for share in usable]))
    values = [value for _, curve in curves for _, value in curve]
    low, high = math.log10(min(values) * 0.9), math.log10(max(values) * 1.1)

    def x_of(share):
        return left + -math.log10(1 - share) / 4 * (width - left - 34)

    def y_of(value):
        return height - bottom - (math.log10(value) - low) / (high - low) * (height - top - bottom)

    parts = []
    for share, name in ((0.0, "0"), (0.5, "50%"), (0.9, "90%"), (0.99, "99%"), (0.999, "99.9%"), (0.9999, "99.99%")):
        parts.append(f'<path d="M{x_of(share):.1f} {top}V{height - bottom}" class="grid"/>')
        parts.append(_text(x_of(share), height - 8, name, "small", "middle"))
    for exponent in range(0, 8):
        for factor in (1, 2, 5):
            value = factor * 10 ** exponent
            if low <= math.log10(value) <= high:
                parts.append(f'<path d="M{left} {y_of(value):.1f}H{width - 34}" class="grid"/>')
                parts.append(_text(left - 6, y_of(value) + 4, f"{value:,} µs" if value < 1000 else f"{value / 1000:g} ms", "small", "end"))
    for peer, curve in curves:
        points = " ".join(f"{x_of(share):.1f},{y_of(value):.1f}" for share, value in curve)
        parts.append(f'<polyline points="{points}" class="line s-{peer}"><title>{peer}</title></polyline>')
    return _svg(width, height, parts, label)


def legend(peers):
    return '<p class="legend">' + "".join(f'<span><i class="b-{peer}"></i>{escape(peer)}</span>' for peer in peers) + "</p>"
