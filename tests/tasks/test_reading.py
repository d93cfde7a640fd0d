"""Tasks as text: what is read, what is refused and how, and back."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source
from archdsl.lang import parse_expression
from archdsl.tasks import Task, read_task
from archdsl.tasks.digits import Digits


def wrong(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(DiagnosticError) as caught:
        read_task(text)
    return caught.value.diagnostics


def test_arguments_are_fields() -> None:
    task = read_task("digits(epochs = 9, lr = 3e-4, optimizer = lion, clip = none, batch = 2 * 16)")
    assert isinstance(task, Digits)
    assert (task.epochs, task.lr, task.optimizer, task.clip, task.batch) == (9, 0.0003, "lion", None, 32)


def test_a_bare_name_has_all_defaults() -> None:
    assert read_task("digits") == read_task("digits()") == Digits()


def test_a_parsed_value_is_read_too() -> None:
    assert read_task(parse_expression(Source("x", "(digits(epochs = 3))"))) == Digits(epochs=3)


def test_the_text_holds_the_epochs_and_what_differs() -> None:
    assert read_task("digits(lr = 1e-3, batch = 32)").text() == "digits(epochs = 20, batch = 32)"


@pytest.mark.parametrize(
    ("text", "column", "message", "help"),
    [
        ("digit(epochs = 3)", 1, "there is no task `digit`", "did you mean `digits`?"),
        ("digits(epoch = 3)", 8, "`digits` has no argument `epoch`", "did you mean `epochs`?"),
        ("digits(epochs.a = 3)", 8, "`digits` has no argument `epochs.a`", "did you mean `epochs`?"),
        ("digits(epochs = 0)", 17, "`epochs` is out of range", "it is at least 1"),
        ("digits(epochs = 10001)", 17, "`epochs` is out of range", "it is at most 10000"),
        ("digits(batch = 100K)", 16, "`batch` is out of range", "it is at most 65536"),
        ("digits(lr = -1e-3)", 13, "`lr` is out of range", "it is more than 0"),
        ("digits(optimizer = adam)", 20, "`optimizer` has no choice `adam`", "did you mean `adamw`?"),
        ("digits(lr = 1, lr = 2)", 16, "`lr` is given twice to `digits`", "leave one out"),
        ("digits(30)", 8, "the arguments of `digits` have names", "write `epochs = ...`"),
        ("digits(epoch)", 8, "the arguments of `digits` have names", "write `epochs = ...`"),
        ("digits -> digits", 1, "a task is a name with arguments", "write one of: digits"),
        ("12", 1, "a task is a name with arguments", "write one of: digits"),
    ],
)
def test_refusals_have_their_place_and_a_next_step(text: str, column: int, message: str, help: str) -> None:
    (d,) = wrong(text)
    assert (d.code, d.message) == ("E404", message)
    assert d.span is not None
    assert d.span.column == column
    assert help in d.help


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("digits(epochs = 2.5)", "expected a whole number, found 2.5"),
        ("digits(epochs = on)", "expected a whole number, found on"),
        ("digits(epochs = many)", "expected a whole number, found `many`"),
        ('digits(lr = "fast")', 'expected a number, found "fast"'),
        ("digits(lr = [1, 2])", "expected a number, found a list"),
        ("digits(warmup = 30)", "a warm-up of 30 epochs is longer than 20 epochs"),
        ("digits(mixup = 1, batch = 5)", "mixup takes images in pairs, and 5 in a batch is odd"),
    ],
)
def test_wrong_values_are_told_with_what_was_expected(text: str, label: str) -> None:
    (d,) = wrong(text)
    assert d.code == "E404"
    assert d.label == label


def test_all_mistakes_are_told_at_once() -> None:
    found = wrong("digits(epoch = 3, lr = -1, optimizer = adam, batch = 1 / 0)")
    assert [d.code for d in found] == ["E404", "E215", "E404", "E404"]


@pytest.mark.parametrize("text", ["digits(", "digits(lr = )", "", "digits(lr = 1) x 3 ->"])
def test_broken_texts_are_mistakes_of_syntax(text: str) -> None:
    assert all(d.code.startswith("E1") for d in wrong(text))


def test_changes_go_over_fields() -> None:
    task = read_task("digits(epochs = 5, batch = 32)")
    changes = {"lr": 0.01, "epochs": "2 * 4", "optimizer": "lion", "weight_decay": Fraction(1, 4)}
    assert task.changed(changes).text() == (
        "digits(epochs = 8, batch = 32, lr = 0.01, optimizer = lion, weight_decay = 0.25)"
    )
    assert task.changed({}) == task


@pytest.mark.parametrize("changes", [{"learning_rate": 1}, {"lr": -1}, {"lr": "fast"}, {"epochs": 2.5}])
def test_changes_are_checked(changes: dict[str, object]) -> None:
    with pytest.raises(DiagnosticError) as caught:
        Digits().changed(changes)
    assert [d.code for d in caught.value.diagnostics] == ["E404"]


tasks = st.builds(
    Digits,
    epochs=st.integers(1, 10_000),
    batch=st.integers(1, 32_768).map(lambda n: 2 * n),
    lr=st.floats(1e-12, 100),
    optimizer=st.sampled_from(["adamw", "sgd", "lion", "lamb"]),
    weight_decay=st.floats(0, 100),
    schedule=st.sampled_from(["cosine", "constant"]),
    warmup=st.floats(0, 1),
    smoothing=st.floats(0, 0.99),
    mixup=st.floats(0, 100),
    clip=st.none() | st.floats(1e-300, 1e6),
    rotate=st.floats(0, 180),
)


@given(tasks)
def test_texts_read_back_as_equal_tasks(task: Task) -> None:
    assert read_task(task.text()) == task
    assert read_task(task.text()).text() == task.text()
