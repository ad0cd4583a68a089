"""Words and figures in a visitor's language: CLDR formats, exact values kept beside them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import Any, Protocol

from babel import Locale, UnknownLocaleError
from babel.dates import format_datetime, format_timedelta
from babel.numbers import (
    format_compact_decimal,
    format_currency,
    format_decimal,
    format_percent,
    list_currencies,
)
from babel.units import format_unit
from markupsafe import Markup

from opencarrier.app.console.catalogue import LOCALES, N_, catalogue
from opencarrier.kernel.calendar import month_named
from opencarrier.kernel.sentences import Amount, Octets, Sentence

DECIMALS = 6
"""Decimals of an amount in minor units."""

OCTET_UNITS = ("byte", "kilobyte", "megabyte", "gigabyte", "terabyte", "petabyte")
KILO = 1000
DIGITS = "default"
"""The digits of a language are those that CLDR gives it."""

DATES = {"en": "d MMM y"}
"""Where a date is written otherwise than CLDR's own: English readers are not Americans alone."""

ISOLATE, ISOLATE_END = "\u2068", "\u2069"
PLURALS_LOOKED_AT = range(201)
"""Counts among which there is one of each plural form."""


class Where(Protocol):
    """Whatever is somewhere on earth, 1e-6 degrees."""

    @property
    def longitude_udeg(self) -> int:
        """East of Greenwich."""
        ...

    @property
    def latitude_udeg(self) -> int:
        """North of the equator."""
        ...


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
        self.direction = self.locale.text_direction
        self.catalogue = catalogue(name)

    @property
    def own_name(self) -> str:
        """How those who speak it call the language."""
        called = self.locale.get_display_name() or self.name
        return called[0].upper() + called[1:]

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
        return format_decimal(number, locale=self.locale, numbering_system=DIGITS)

    def compact(self, number: int) -> Markup:
        """Write a large number short (1.7M); exact in its title."""
        short = format_compact_decimal(
            number, locale=self.locale, fraction_digits=1, numbering_system=DIGITS
        )
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
            self.told_of("%(num)s byte", "%(num)s bytes", number),
            self._unit(value, OCTET_UNITS[unit], "#,##0" if whole else "#,##0.#"),
        )

    def share(self, part_ppm: int) -> str:
        """Write millionths as a percentage."""
        shown = Decimal(part_ppm).scaleb(-6).quantize(Decimal("0.001"), ROUND_HALF_EVEN)
        return format_percent(
            shown, locale=self.locale, decimal_quantization=False, numbering_system=DIGITS
        )

    def when(self, at_us: int, form: str = "medium") -> Markup:
        """Write an instant in UTC: `short` its time, `day` its date, `minute` and `medium` both."""
        at = _datetime(at_us)
        shown = format_datetime(at, self._pattern(form), locale=self.locale)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            at.isoformat().replace("+00:00", "Z"), f"{at:%Y-%m-%d %H:%M:%S} UTC", shown
        )

    def duration(self, length_s: int) -> str:
        """Write a span of time in its largest unit."""
        return format_timedelta(timedelta(seconds=length_s), threshold=1, locale=self.locale)

    def month(self, at: int | str) -> str:
        """Write a month with its year: that of an instant in UTC, or one named as `2026-11`."""
        at_us = at if isinstance(at, int) else _begin_us(at)
        return str(format_datetime(_datetime(at_us), "LLLL y", locale=self.locale))

    def gettext(self, text: str) -> str:
        """Return a text in this language, as it is where nobody translated it."""
        return self.catalogue.gettext(text) if text else ""

    def ngettext(self, one: str, many: str, number: int) -> str:
        """Return the one of two texts that a number needs, in this language."""
        return self.catalogue.ngettext(one, many, number)

    def told(self, text: str, /, **values: object) -> Markup:
        """Return a text with values in it; whole numbers are written as this language does."""
        return _text(self.gettext(text)) % self._written(values)

    def told_of(self, one: str, many: str, number: int, /, **values: object) -> Markup:
        """Return the one of two texts that a number needs; `num` in it is the number."""
        return _text(self.ngettext(one, many, number)) % self._written({"num": number, **values})

    def sentence(self, said: Sentence | str) -> Markup:
        """Say what happened, its amounts and data as this language writes them."""
        return self.told(said) if isinstance(said, str) else self.told(said.text, **said.values)

    def country(self, code: str) -> str:
        """Write a country by its ISO 3166-1 code."""
        return str(self.locale.territories.get(code, code))

    def place(self, where: Where, decimals: int = 1) -> Markup:
        """Write a place on earth to so many decimals of a degree."""
        north, east = where.latitude_udeg, where.longitude_udeg
        latitude = N_("%(degrees)s° N") if north >= 0 else N_("%(degrees)s° S")
        longitude = N_("%(degrees)s° E") if east >= 0 else N_("%(degrees)s° W")
        return self.told(
            "%(latitude)s, %(longitude)s",
            latitude=self.told(latitude, degrees=self._degrees(north, decimals)),
            longitude=self.told(longitude, degrees=self._degrees(east, decimals)),
        )

    def forms(self, one: str, many: str) -> str:
        """Return a text in each plural form of this language, for a script, as JSON.

        Keys are CLDR's names of the forms; `%(num)s` stands where the number comes.
        """
        numbers = {self.locale.plural_form(n): n for n in reversed(PLURALS_LOOKED_AT)}
        texts = {form: self.ngettext(one, many, number) for form, number in numbers.items()}
        return json.dumps(texts, ensure_ascii=False, sort_keys=True)

    def isolated(self, text: str) -> str:
        """Return a name, an id or the like so that it turns no text around it, nor is turned.

        Between Unicode's isolates (UAX 9), which stand in an attribute as well; as it is where
        everything runs from left to right.
        """
        turns = any(unicodedata.bidirectional(one) in ("R", "AL") for one in text)
        return f"{ISOLATE}{text}{ISOLATE_END}" if turns or self.direction == "rtl" else text

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return what templates call by name."""
        return {
            "money": self.money,
            "count": self.count,
            "compact": self.compact,
            "octets": self.octets,
            "share": self.share,
            "when": self.when,
            "month": self.month,
            "duration": self.duration,
            "isolated": self.isolated,
            "sentence": self.sentence,
            "country": self.country,
            "place": self.place,
        }

    def _written(self, values: Mapping[str, object]) -> dict[str, object]:
        return {key: self._value(value) for key, value in values.items()}

    def _value(self, value: object) -> object:
        if isinstance(value, Amount):
            return self.money(value.minor, value.code)
        if isinstance(value, Octets):
            return self.octets(value.number)
        if isinstance(value, int):
            return self.count(value)
        if isinstance(value, str) and not isinstance(value, Markup):
            return self.isolated(value)
        return value

    def _degrees(self, udeg: int, decimals: int) -> str:
        degrees, pattern = Decimal(abs(udeg)).scaleb(-6), "0." + "0" * decimals
        return format_decimal(degrees, pattern, locale=self.locale, numbering_system=DIGITS)

    def _pattern(self, form: str) -> str:
        if form == "day":
            return str(self.locale.datetime_skeletons["MMMd"].pattern)
        skeleton = "Hms" if form == "medium" else "Hm"
        time_of_day = self.locale.datetime_skeletons[skeleton].pattern
        if form == "short":
            return str(time_of_day)
        date = DATES.get(self.locale.language) or self.locale.datetime_skeletons["yMMMd"].pattern
        return str(self.locale.datetime_formats["medium"]).format(time_of_day, date)

    def _unit(self, value: Decimal, unit: str, digits: str) -> str:
        return format_unit(
            value,
            f"digital-{unit}",
            "short",
            digits,
            locale=self.locale,
            numbering_system=DIGITS,
        )

    def _amount(self, shown: Decimal, code: str) -> str:
        if code in _currencies():
            return format_currency(
                shown,
                code,
                locale=self.locale,
                currency_digits=False,
                decimal_quantization=False,
                numbering_system=DIGITS,
            )
        figure = format_decimal(shown, "#,##0.00####", locale=self.locale, numbering_system=DIGITS)
        return f"{figure}\u00a0{code}".rstrip()


@cache
def words(name: str) -> Words:
    """Return a language by its name; each is read once."""
    return Words(name)


@cache
def _currencies() -> frozenset[str]:
    return frozenset(list_currencies())


def _text(ours: str) -> Markup:
    """Return a text of ours: what is put into it is escaped."""
    return Markup(ours)  # noqa: S704 - it comes from the sources and their catalogues


def _step(amount_minor: int) -> Decimal:
    small = 0 < abs(amount_minor) < 10_000
    return Decimal(1).scaleb(-DECIMALS if small else -2)


def _begin_us(month: str) -> int:
    named = month_named(month)
    assert named is not None, month
    return named.start_us


def _datetime(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).replace(microsecond=at_us % 1_000_000)
