"""Payment cards, bank accounts, social security and telephone numbers, told from the numbers that are none.

Each must have the form people write it in, stand alone, and pass what can be computed: the check digits of ISO/IEC
7812 (Luhn) and ISO 13616 (mod 97), issuers' prefixes and lengths, countries' lengths (SWIFT's IBAN registry), country
calling codes (ITU E.164) and the numbering plan of North America. Bare digits are never a telephone number.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# Payment cards

_CARD = re.compile(
    r"[0-9](?<!\w[0-9])(?<![0-9][.\-][0-9])"
    r"(?:[0-9]{13,18}|[0-9]{3}([ .\-])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?|[0-9]{3}([ .\-])[0-9]{6}\2[0-9]{4,5})"
    r"(?!\w)(?![.\-][0-9])"
)
_NOT_DIGITS = re.compile(r"[^0-9]+")
# (first number, last number, lengths): Visa, Mastercard, Mir, Amex, Diners, JCB, Discover, UnionPay, RuPay, Maestro.
_ISSUERS: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (400000, 499999, (16, 19)),
    (510000, 559999, (16,)),
    (222100, 272099, (16,)),
    (220000, 220499, (16,)),
    (340000, 349999, (15,)),
    (370000, 379999, (15,)),
    (300000, 305999, (14,)),
    (309500, 309599, (14,)),
    (360000, 369999, (14,)),
    (380000, 399999, (14,)),
    (352800, 358999, (16,)),
    (601100, 601199, (16,)),
    (644000, 659999, (16,)),
    (620000, 629999, (16, 17, 18, 19)),
    (508000, 508999, (16,)),
    (606900, 608999, (16,)),
    (817000, 820299, (16,)),
    (500000, 507999, (16,)),
    (560000, 589999, (16,)),
    (630000, 639999, (16,)),
    (660000, 699999, (16,)),
)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def hide_cards(text: str) -> str:
    """Return `text` with every payment card number as `[CARD]`: 14 to 19 digits, alone or in a card's groups."""
    return _replaced(text, _CARD, "[CARD]", _card_end)


def _card_end(card: re.Match[str]) -> int:
    if is_card_number(_NOT_DIGITS.sub("", card[0])):
        return card.end()
    # Four groups of four, and a card's security code or the like after them.
    shorter = card[0][:19]
    return card.start() + 19 if card[1] and is_card_number(_NOT_DIGITS.sub("", shorter)) else -1


def is_card_number(digits: str) -> bool:
    """Tell whether these digits are a payment card's: its issuer's prefix, its length, and the check digit."""
    if not 14 <= len(digits) <= 19:
        return False
    prefix, length = int(digits[:6]), len(digits)
    if not any(first <= prefix <= last and length in lengths for first, last, lengths in _ISSUERS):
        return False
    odd, even = digits[-1::-2], digits[-2::-2]
    return (sum(map(int, odd)) + sum(_DOUBLED[int(digit)] for digit in even)) % 10 == 0


# Bank accounts

_IBAN = re.compile(
    r"[A-Za-z]{2}(?<![A-Za-z0-9_][A-Za-z]{2})[0-9]{2}"
    r"(?:[A-Za-z0-9]{11,30}|(?:[ \-][A-Za-z0-9]{4}){2,7}(?:[ \-][A-Za-z0-9]{1,4})?)"
)
_IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        "([A-Z]{2})([0-9]{2})",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29"
        " ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20"
        " LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29"
        " PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
        " YE30",
    )
}


def hide_ibans(text: str) -> str:
    """Return `text` with every international bank account number as `[IBAN]`."""
    return _replaced(text, _IBAN, "[IBAN]", _iban_end)


def _iban_end(match: re.Match[str]) -> int:
    length = _IBAN_LENGTHS.get(match[0][:2].upper())
    if length is None:
        return -1
    seen = 0
    for at, character in enumerate(match[0]):
        seen += character not in " -"
        if seen == length:
            end = match.start() + at + 1
            following = match.string[end : end + 1]
            is_whole = not following.isalnum() and following != "_"
            return end if is_whole and _has_mod_97(match[0][: at + 1]) else -1
    return -1


def _has_mod_97(iban: str) -> bool:
    plain = iban.replace(" ", "").replace("-", "")
    if plain[2:4] in {"00", "01", "99"}:  # 98 less a remainder of 97 is none of these
        return False
    try:
        return int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4])) % 97 == 1
    except ValueError:
        return False


# Social security numbers of the United States, which are never 000, 666 or 9xx, nor have a group of zeros

_SSN = re.compile(
    r"[0-9](?<!\w[0-9])(?<![\w.][\-.][0-9])[0-9]{2}(?<!000)(?<!666)(?<!9..)-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![\w])(?![\-.]\w)"
)


def hide_ssns(text: str) -> str:
    """Return `text` with every US social security number as `[SSN]`; only with its dashes."""
    return _SSN.sub("[SSN]", text)


# Telephone numbers

_US_PHONE = re.compile(
    r"[0-9](?<![\w.+/\-][0-9])(?:(?<=1)[\-. ][2-9]|(?<=[2-9]))[0-9]{2}([\-.])[2-9][0-9]{2}\1[0-9]{4}(?!\w)(?![\-.]\w)"
)
_US_PHONE_IN_BRACKETS = re.compile(r"\((?<!\w\()[2-9][0-9]{2}\)[ \-]?[2-9][0-9]{2}[\-. ][0-9]{4}(?!\w)(?![\-.]\w)")
_PLUS_PHONE = re.compile(r"(?:\+(?<![\w+/\]]\+)|%2[Bb])((?:[ .()\-]{0,2}[0-9]){8,15})(?![0-9A-Za-z_])(?!\.[0-9])")
_COUNTRY_CODE = re.compile(
    "7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    "|2[1-69][0-9]|3[578][0-9]|42[0-9]|5[09][0-9]|6[789][0-9]|8[0578][0-9]|9[679][0-9]"
)
_NORTH_AMERICAN = re.compile("1[2-9][0-9]{2}[2-9][0-9]{6}")


def hide_us_phones(text: str) -> str:
    """Return `text` with North American numbers as `[PHONE]`: (415) 555-2671, 415-555-2671, 1-415-555-2671."""
    return _US_PHONE_IN_BRACKETS.sub("[PHONE]", _US_PHONE.sub("[PHONE]", text))


def hide_phones(text: str) -> str:
    """Return `text` with international numbers as `[PHONE]`: those with a plus and a country's code."""
    return _replaced(text, _PLUS_PHONE, "[PHONE]", _phone_end)


def _phone_end(match: re.Match[str]) -> int:
    digits = _NOT_DIGITS.sub("", match[1])
    if digits.startswith("1"):
        end = _end_of_digits(match[1], 11)
        return match.start(1) + end if end >= 0 and _NORTH_AMERICAN.match(digits) else -1
    return match.end() if len(digits) >= 9 and _COUNTRY_CODE.match(digits) else -1


def _end_of_digits(text: str, count: int) -> int:
    """Return where the `count`th digit of `text` ends, if none follows it at once; -1 otherwise."""
    for at, character in enumerate(text):
        count -= character.isdigit()
        if count == 0:
            return -1 if text[at + 1 : at + 2].isdigit() else at + 1
    return -1


# Telegram's bot tokens: a number, a colon, 35 characters

_TELEGRAM = re.compile(r"[0-9]{8,10}(?<![0-9]{11}):AA[A-Za-z0-9_\-]{33}(?![A-Za-z0-9_\-])")


def hide_telegram_tokens(text: str) -> str:
    """Return `text` with tokens of Telegram's bots as `[KEY]`."""
    return _TELEGRAM.sub("[KEY]", text)


def _replaced(text: str, shape: re.Pattern[str], label: str, end_of: Callable[[re.Match[str]], int]) -> str:
    """Return `text` with `label` for each match that `end_of` gives an end to; after others, look again inside them."""
    parts: list[str] = []
    done = 0
    match = shape.search(text)
    while match is not None:
        end = end_of(match)
        if end >= 0:
            parts += [text[done : match.start()], label]
            done = end
        match = shape.search(text, end if end >= 0 else match.start() + 1)
    return "".join([*parts, text[done:]]) if parts else text
