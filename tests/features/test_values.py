"""Words as people read them."""

from __future__ import annotations

from fractions import Fraction

from archdsl.features import Word


def test_a_word_reads_as_it_is_written() -> None:
    assert str(Word("both")) == "both"
    assert str(Word("reverse", (Word("local", (Fraction(3),)),))) == "reverse(local(3))"
    assert str(Word("windows", (True,), (("pad", False), ("extras", None)))) == (
        "windows(on, pad = off, extras = none)"
    )
