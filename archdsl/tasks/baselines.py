"""Classifiers of scikit-learn on the digits, for comparison."""

from __future__ import annotations

from typing import Any

from archdsl.diagnostics import need
from archdsl.tasks.digits import table


def accuracies() -> dict[str, float]:
    """Shares of the test images that simple methods get right; they learn from the training images alone.

    Three nearest neighbours, and a support vector machine with the radial kernel, on the 64 raw pixels; what
    is not said is scikit-learn's default.

    Raises:
        DiagnosticError: E506 where scikit-learn is not installed.
    """
    neighbors: Any = need("sklearn.neighbors", "digits")
    svm: Any = need("sklearn.svm", "digits")
    digits = table()
    pixels = digits.pixels.reshape(len(digits.pixels), -1)
    train, test = digits.indices("train"), digits.indices("test")
    methods = {
        "3-NN": neighbors.KNeighborsClassifier(n_neighbors=3),
        "SVM": svm.SVC(kernel="rbf"),
    }
    return {
        name: float(method.fit(pixels[train], digits.labels[train]).score(pixels[test], digits.labels[test]))
        for name, method in methods.items()
    }
