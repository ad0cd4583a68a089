"""Words and figures in a visitor's language: CLDR formats, exact values kept beside them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import Any, Literal

from babel import Locale, UnknownLocaleError
from babel.dates import format_datetime, format_timedelta
from babel.numbers import (
    format_compact_decimal,
    format_currency,
    format_decimal,
    format_percent,
    list_currencies,
)
from babel.support import NullTranslations
from babel.units import format_unit
from markupsafe import Markup

LOCALES = ("en",)
"""Languages there are words for, the first where nobody asks for another; catalogues add theirs."""

DECIMALS = 6
"""Decimals of an amount in minor units."""

OCTET_UNITS = ("byte", "kilobyte", "megabyte", "gigabyte", "terabyte", "petabyte")
KILO = 1000
RIGHT_TO_LEFT = frozenset(("ar", "fa", "he", "ur"))


def chosen_locale(accepted: str, choice: str = "") -> str:
    """Return the language to answer in: what was chosen, else the first known of Accept-Language.

    Of what a browser says only the order counts; at most ten names are looked at.
    """
    asked = [choice, *(part.partition(";")[0] for part in accepted.split(",")[:10])]
    for name in asked:
        language = name.strip().replace("_", "-").partition("-")[0].lower()
        if language in LOCALES:
            return language
    return LOCALES[0]


class Words:
    """One language: its texts, and how it writes amounts, counts, octets and instants."""

    def __init__(self, name: str) -> None:
        try:
            self.locale = Locale.parse(name)
        except (UnknownLocaleError, ValueError):
            raise AssertionError(f"{name} is no language of ours") from None
        self.name = name
        self.direction = "rtl" if name in RIGHT_TO_LEFT else "ltr"
        self.catalogue = NullTranslations()

    def money(self, amount_minor: int, code: str) -> Markup:
        """Write an amount: two decimals, six below a hundredth; exact in its title."""
        exact = Decimal(amount_minor).scaleb(-DECIMALS)
        shown = exact.quantize(_step(amount_minor), ROUND_HALF_EVEN)
        title = f"{exact:f} {code}".rstrip()
        return Markup('<data class="money" value="{}" title="{}">{}</data>').format(
            amount_minor, title, self._amount(shown, code)
        )

    def count(self, number: int) -> str:
        """Write a whole number with the language's separators."""
        return format_decimal(number, locale=self.locale)

    def compact(self, number: int) -> Markup:
        """Write a large number short (1.7M); exact in its title."""
        short = format_compact_decimal(number, locale=self.locale, fraction_digits=1)
        return Markup('<data value="{}" title="{}">{}</data>').format(
            number, self.count(number), short
        )

    def octets(self, number: int) -> Markup:
        """Write an amount of data in decimal units, as access points count; exact in its title."""
        value, unit = Decimal(number), 0
        while abs(value) >= KILO and unit + 1 < len(OCTET_UNITS):
            value, unit = value / KILO, unit + 1
        whole = unit == 0 or abs(value) >= KILO // 10
        return Markup('<data value="{}" title="{}">{}</data>').format(
            number,
            self._unit(Decimal(number), OCTET_UNITS[0], "#,##0", "long"),
            self._unit(value, OCTET_UNITS[unit], "#,##0" if whole else "#,##0.#", "short"),
        )

    def share(self, part_ppm: int) -> str:
        """Write millionths as a percentage."""
        return format_percent(Decimal(part_ppm).scaleb(-6), "#,##0.#%", locale=self.locale)

    def when(self, at_us: int, form: str = "medium") -> Markup:
        """Write an instant in UTC: `short` its time of day, `medium` with its date."""
        at = _datetime(at_us)
        pattern = "HH:mm" if form == "short" else "d MMM y, HH:mm:ss"
        shown = format_datetime(at, pattern, locale=self.locale)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            at.isoformat().replace("+00:00", "Z"), f"{at:%Y-%m-%d %H:%M:%S} UTC", shown
        )

    def duration(self, length_s: int) -> str:
        """Write a span of time in its largest unit."""
        return format_timedelta(timedelta(seconds=length_s), threshold=1, locale=self.locale)

    def gettext(self, text: str) -> str:
        """Return a text in this language, as it is where nobody translated it."""
        return self.catalogue.gettext(text)

    def ngettext(self, one: str, many: str, number: int) -> str:
        """Return the one of two texts that a number needs, in this language."""
        return self.catalogue.ngettext(one, many, number)

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return what templates call by name."""
        return {
            "money": self.money,
            "count": self.count,
            "compact": self.compact,
            "octets": self.octets,
            "share": self.share,
            "when": self.when,
            "duration": self.duration,
        }

    def _unit(
        self, value: Decimal, unit: str, digits: str, length: Literal["short", "long"]
    ) -> str:
        return format_unit(value, f"digital-{unit}", length, digits, locale=self.locale)

    def _amount(self, shown: Decimal, code: str) -> str:
        if code in _currencies():
            return format_currency(
                shown, code, locale=self.locale, currency_digits=False, decimal_quantization=False
            )
        return f"{format_decimal(shown, '#,##0.00####', locale=self.locale)}\u00a0{code}".rstrip()


@cache
def words(name: str) -> Words:
    """Return a language by its name; each is read once."""
    return Words(name)


@cache
def _currencies() -> frozenset[str]:
    return frozenset(list_currencies())


def _step(amount_minor: int) -> Decimal:
    small = 0 < abs(amount_minor) < 10_000
    return Decimal(1).scaleb(-DECIMALS if small else -2)


def _datetime(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).replace(microsecond=at_us % 1_000_000)
