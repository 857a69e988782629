"""The document around the content: one table, inline styles, no images, scripts or remote files.

Mail programs drop style sheets and know little CSS: tables, widths and inline styles are what all of them agree on.
"""

from __future__ import annotations

from html import escape

_FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:16px;line-height:1.5"
_HIDDEN = "display:none;max-height:0;max-width:0;overflow:hidden;opacity:0;mso-hide:all"

_DOCUMENT = """\
<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
</head>
<body style="margin:0;padding:0;background-color:#f4f4f5">
{preheader}<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0">
<tr><td align="center" style="padding:24px 12px">
<table role="presentation" width="600" cellpadding="0" cellspacing="0" border="0" style="width:100%;max-width:600px">
<tr><td style="padding:32px;background-color:#ffffff;border-radius:8px;color:#18181b;{font}">
{content}
</td></tr>
</table>
</td></tr>
</table>
</body>
</html>
"""


def wrap(content: str, *, title: str, preheader: str = "", lang: str = "en") -> str:
    """Put HTML content into the document. `content` is HTML; everything else is plain text and is escaped."""
    span = f'<span style="{_HIDDEN}">{escape(preheader)}</span>\n' if preheader else ""
    return _DOCUMENT.format(lang=escape(lang), title=escape(title), preheader=span, font=_FONT, content=content.strip())
