"""Values stay data: in text, code, links, images, headings, tables, the subject and the preheader."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undercroft.email import HeaderInjectionError, UnsafeLinkError, parse_template, render_template

EVERYWHERE = parse_template(
    """---
subject: About {{x}}
preheader: Soon: {{x}}
---

# {{x}}

{{x}} *{{x}}* **{{x}}** `{{x}}` ~~{{x}}~~ [{{x}}](https://a.example/{{x}}?q={{x}}#{{x}} "{{x}}") ![{{x}}](https://a.example/{{x}})

- {{x}}
- [x]({{x}}y "z"){{x}}

> {{x}}

| {{x}} | b |
|---|---|
| c | {{x}} |

    {{x}}

```{{x}}
{{x}}
```

https://a.example/{{x}} <https://b.example/{{x}}>

[ref]: https://a.example/{{x}} "{{x}}"

[{{x}}][ref] &{{x}}; \\{{x}} {{x}}
""",
    name="everywhere",
)
PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "' onmouseover='alert(1)",
    "[click](javascript:alert(1))",
    "![x](javascript:alert(1))",
    "<javascript:alert(1)>",
    "<https://evil.example>",
    "[x]: javascript:alert(1)",
    "</td></table><a href=javascript:alert(1)>x</a>",
    "`</code><script>x</script>",
    "```\n</pre><script>x</script>",
    "\n\n# heading\n\n- item\n\n> quote\n\n***\n",
    "| a | b |\n|---|---|\n| c | d |",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;",
    "lt",
    "*bold* _em_ **strong** ~~s~~",
    "\\",
    "\\<script>",
    "{{x}}",
    "{{ name }}",
    "--><script>x</script><!--",
    "<!DOCTYPE x><![CDATA[<script>",
    "\u202egnp.exe",
    "\x00\x01\x1b[31m",
    "a\u2028b",
    "%0d%0aBcc: x@y.z",
    "v0000000000000000n0e",
    "<" * 500,
    "[" * 500,
]
LINKS = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "\tjavascript:alert(1)",
    "java\nscript:alert(1)",
    "java\tscript:alert(1)",
    "java\x00script:alert(1)",
    "\x01javascript:alert(1)",
    "javascript\u2028:alert(1)",
    "javascript://%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "data:text/html;base64,PHNjcmlwdD4=",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "blob:https://x/1",
    "intent://x#Intent;scheme=y;end",
    "//evil.example/x",
    "\\\\evil.example",
    "/\\evil.example",
    "jav&#x09;ascript:alert(1)",
    "x:y",
    ":x",
]


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.links: list[str] = []
        self.attributes: Counter[str] = Counter()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(name for name, _ in attrs)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")

    def handle_decl(self, decl: str) -> None:
        self.tags.append(f"!{decl}")

    def handle_comment(self, data: str) -> None:
        self.tags.append("!--")


def render(value: object) -> Tags:
    return Tags(render_template(WITHOUT_START, {"x": value}).html)


# The same without the link whose address starts with a value: what may be in that one is tested on its own.
WITHOUT_START = parse_template(EVERYWHERE.body.replace("[x]({{x}}y", "[x](https://c.example/{{x}}y"), name="everywhere")
PLAIN = render("plain")


def scheme_of(link: str) -> str:
    # As browsers do (WHATWG URL): tabs and line breaks do not count, nor do controls and spaces at the start.
    seen = re.sub(r"[\t\r\n]", "", link).lstrip("".join(map(chr, range(33))))
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", seen)
    return match[1].lower() if match else ""


@pytest.mark.parametrize("value", PAYLOADS)
def test_payload_adds_no_tag_attribute_or_running_link(value: str) -> None:
    shown = render(value)

    assert shown.tags == PLAIN.tags
    assert shown.attributes == PLAIN.attributes
    assert {scheme_of(link) for link in shown.links} == {"https"}
    assert {re.match(r"https://([^/?#]*)", link)[1] for link in shown.links} == {"a.example", "b.example", "c.example"}


@settings(deadline=None)
@given(st.text())
def test_any_value_adds_no_tag(value: str) -> None:
    shown = render(value)

    assert shown.tags == PLAIN.tags
    assert shown.attributes == PLAIN.attributes


@settings(deadline=None)
@given(st.text(alphabet="<>[]()!*_`#-|&;:/\\\"'{}~ \n\tahrefjsvcipt=1.", max_size=60))
def test_any_value_of_markup_adds_no_tag(value: str) -> None:
    assert render(value).tags == PLAIN.tags


@pytest.mark.parametrize("value", LINKS)
def test_link_that_runs_or_misleads_is_refused(value: str) -> None:
    for source in ("[go]({{x}})", "[go](<{{x}}>)", "![a]({{x}})"):
        try:
            rendered = render_template(parse_template(source), {"x": value})
        except UnsafeLinkError:
            continue
        # What is not refused must be inert: a path on the same host.
        links = Tags(rendered.html).links
        assert [scheme_of(link) for link in links] == [""]
        assert not links[0].startswith(("//", "/\\", "\\"))


@pytest.mark.parametrize(
    "value", [link for link in LINKS if scheme_of(link) in {"javascript", "data", "vbscript", "file"}]
)
def test_schemes_that_run_are_errors(value: str) -> None:
    with pytest.raises(UnsafeLinkError):
        render_template(parse_template("[go]({{x}})"), {"x": value})


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_link_is_refused_or_harmless(value: str) -> None:
    try:
        rendered = render_template(parse_template("[go]({{x}})"), {"x": value})
    except UnsafeLinkError:
        return
    assert [scheme_of(link) in {"", "http", "https", "mailto", "tel"} for link in Tags(rendered.html).links] == [True]


@pytest.mark.parametrize(
    ("source", "values", "expected"),
    [
        ("{{x}}", {"x": "https://a.example/p?q=1&r=%20#f"}, "https://a.example/p?q=1&r=%20#f"),
        ("{{x}}", {"x": "mailto:a@b.c"}, "mailto:a@b.c"),
        ("{{x}}", {"x": "tel:+49-30"}, "tel:+49-30"),
        ("{{x}}", {"x": "/path?x=1"}, "/path?x=1"),
        ("{{x}}", {"x": 'https://a.example/"><b>'}, "https://a.example/%22%3E%3Cb%3E"),
        ("{{x}}/reset?t={{t}}", {"x": "https://a.example", "t": "a&b=c/d"}, "https://a.example/reset?t=a%26b%3Dc%2Fd"),
        ("https://a.example/{{x}}", {"x": "../../é"}, "https://a.example/..%2F..%2F%C3%A9"),
        ("https://{{x}}.example.com/", {"x": "shop-1"}, "https://shop-1.example.com/"),
        ("mailto:{{x}}", {"x": "a@b.c?bcc=d@e.f"}, "mailto:a@b.c%3Fbcc%3Dd@e.f"),
        ("tel:{{x}}", {"x": "+49 30"}, "tel:+49%2030"),
        ("myapp://open/{{x}}", {"x": "1"}, "myapp://open/1"),
    ],
)
def test_value_in_a_link_is_encoded_for_its_place(source: str, values: dict[str, str], expected: str) -> None:
    rendered = render_template(parse_template(f"[go]({source})"), values)

    assert Tags(rendered.html).links == [expected]
    assert rendered.text == f"go ({expected})\n"


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("{{a}}{{b}}", {"a": "java", "b": "script:alert(1)"}),
        ("{{a}}:alert(1)", {"a": "javascript"}),
        ("java{{a}}:alert(1)", {"a": "script"}),
        ("https://{{a}}/x", {"a": "evil.example/"}),
        ("https://a.example{{a}}", {"a": ".evil.example"}),
        ("https://a.example{{a}}", {"a": "@evil.example"}),
        ("https://{{a}}", {"a": "x@evil.example"}),
    ],
)
def test_values_cannot_work_together_to_make_a_link(source: str, values: dict[str, str]) -> None:
    try:
        rendered = render_template(parse_template(f"[go]({source})"), values)
    except UnsafeLinkError:
        return
    assert {scheme_of(link) for link in Tags(rendered.html).links} <= {""}


@pytest.mark.parametrize("separator", [*list("\r\n\t\x0b\x0c\x00\x1b\x85\u2028\u2029"), "\r\n", "\x7f"])
def test_line_breaks_in_a_value_for_the_subject_are_refused(separator: str) -> None:
    template = parse_template("---\nsubject: Hi {{x}}\n---\nx")

    with pytest.raises(HeaderInjectionError, match="UC2003 subject"):
        render_template(template, {"x": f"a{separator}Bcc: b@c.d"})


def test_subject_and_preheader_are_plain_text() -> None:
    template = parse_template("---\nsubject: <{{x}}>\npreheader: '{{x}}'\n---\nx")
    rendered = render_template(template, {"x": "a & *b*"})

    assert rendered.subject == "<a & *b*>"
    assert rendered.preheader == "a & *b*"
    assert "<title>&lt;a &amp; *b*&gt;</title>" in rendered.html
    assert ">a &amp; *b*</span>" in rendered.html


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (5, "5"),
        (1.5, "1.5"),
        (True, "True"),
        (Decimal("9.90"), "9.90"),
        (date(2026, 11, 20), "2026-11-20"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_plain_values_are_written_as_python_does(value: object, shown: str) -> None:
    assert render_template(parse_template("{{ a.b }}"), {"a": {"b": value}}).text == f"{shown}\n"


def test_text_part_reads_well() -> None:
    template = parse_template(
        "# Title\n\nHello **you**, see [here](https://x.y) and https://z.y/a or <mailto:a@b.c>\nnext line  \nbroken\n\n"
        "- one\n- two\n  1. deep\n  2. deeper\n\n3. three\n4. four\n\n> quoted\n> more\n\n```sh\nls -l\n```\n\n---\n\n"
        "| a | b |\n|---|---|\n| c | d |\n\n![logo](https://x.y/l.png) [https://x.y](https://x.y)"
    )

    assert render_template(template, {}).text == (
        "Title\n\nHello you, see here (https://x.y) and https://z.y/a or a@b.c\nnext line\nbroken\n\n"
        "- one\n- two\n  1. deep\n  2. deeper\n\n3. three\n4. four\n\n> quoted\n> more\n\n    ls -l\n\n"
        "--------------------\n\na | b\nc | d\n\nlogo https://x.y\n"
    )


def test_html_has_the_language_and_valid_lists() -> None:
    rendered = render_template(parse_template("- a\n- b", locale="de-AT"), {})

    assert '<html lang="de-AT">' in rendered.html
    assert "<ul>\n<li>a</li>\n<li>b</li>\n</ul>" in rendered.html


def test_file_names_do_not_become_links() -> None:
    assert Tags(render_template(parse_template("see notes.md and {{x}}.md"), {"x": "a"}).html).links == []


def test_html_in_a_template_is_shown_and_not_used() -> None:
    assert "&lt;script&gt;" in render_template(parse_template("<script>x</script>\n\na <b>c</b>"), {}).html
