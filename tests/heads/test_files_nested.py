"""Files of heads that hold other heads, written by nobody we know."""

import pytest
import torch

from headtail.files import write_tensors
from headtail.heads import load_head

WEIGHT = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]])
VECTOR = torch.tensor([0.1, 0.2, 0.3])
LINEAR = {"type": "linear", "normalize": False}
AFFINE = {"type": "affine", "head": LINEAR}
DISALIGN = {"type": "disalign", "head": LINEAR}
CAUSAL = {"type": "causal-norm", "n_chunks": 2, "alpha": 1.5}
WHITENED = {"type": "whitened", "normalize": False, "head": LINEAR}
INNER = {"head.weight": WEIGHT}
OWN = {"scale": VECTOR, "bias": VECTOR}
ALIGNED = {**INNER, **OWN, "confidence": torch.ones(2)}
CAUSAL_OWN = {"weight": WEIGHT, "direction": torch.ones(2)}
# A map from three features to the two of the inner head.
WHITENED_OWN = {"map": WEIGHT, "center": VECTOR}
MAPPED = {**INNER, **WHITENED_OWN}


@pytest.fixture(autouse=True)
def _as_users_run(monkeypatch):
    # Users run without the type checker of the tests, which would come first.
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


def written(path, spec, tensors):
    named = {f"head.{name}": tensor for name, tensor in tensors.items()}
    write_tensors(path, named, {"head": spec})
    return path


@pytest.mark.parametrize(
    ("spec", "tensors"),
    [
        (AFFINE, INNER | OWN),
        (DISALIGN, ALIGNED),
        (CAUSAL, CAUSAL_OWN),
        (WHITENED, MAPPED),
        (WHITENED | {"normalize": True}, MAPPED),
        (
            WHITENED | {"head": AFFINE},
            {"head.head.weight": WEIGHT, **WHITENED_OWN}
            | {f"head.{name}": tensor for name, tensor in OWN.items()},
        ),
    ],
)
def test_what_fits_is_read(spec, tensors, tmp_path):
    assert load_head(written(tmp_path / "fine", spec, tensors)).spec() == spec


@pytest.mark.parametrize(
    ("spec", "tensors", "message"),
    [
        ({"type": "affine"}, OWN, "a affine head must hold another head"),
        ({"type": "disalign"}, OWN | {"confidence": VECTOR}, "must hold another head"),
        ({"type": "affine"}, INNER | OWN, r"\['bias', 'scale'\] .*head.weight"),
        (AFFINE | {"head": None}, INNER | OWN, "fit its weights"),
        (AFFINE | {"head": "linear"}, INNER | OWN, "fit its weights"),
        (AFFINE | {"head": [LINEAR]}, INNER | OWN, "fit its weights"),
        (AFFINE | {"head": {}}, INNER | OWN, "'type'"),
        (AFFINE | {"head": {"type": "mlp"}}, INNER | OWN, "got 'mlp'"),
        (AFFINE, OWN, r"a linear head has .*got \[\]"),
        (AFFINE, INNER | {"scale": VECTOR}, r"\['bias', 'scale'\] .*got \['scale'\]"),
        (AFFINE, INNER | OWN | {"odd": VECTOR}, r"got \['bias', 'odd', 'scale'\]"),
        (AFFINE, INNER | OWN | {"head.odd": VECTOR}, r"got \['odd', 'weight'\]"),
        (AFFINE, INNER | OWN | {"scale": torch.ones(2)}, r"scale .* of 3 numbers"),
        (AFFINE, INNER | OWN | {"scale": VECTOR.long()}, "scale .* got torch.int64"),
        (AFFINE, INNER | OWN | {"bias": VECTOR / 0}, "bias must be finite"),
        (AFFINE, INNER | OWN | {"head.weight": VECTOR}, r"weight .* of shape \[3\]"),
        (DISALIGN, INNER | OWN, r"\['bias', 'confidence', 'scale'\] .*got"),
        (DISALIGN, ALIGNED | {"confidence": VECTOR}, "confidence .* of 2 numbers"),
        (CAUSAL, {"weight": WEIGHT}, r"\['direction', 'weight'\] .*got \['weight'\]"),
        (CAUSAL, CAUSAL_OWN | {"bias": VECTOR}, r"got \['bias', 'direction', 'wei"),
        (CAUSAL, CAUSAL_OWN | {"direction": VECTOR}, "direction .* of 2 numbers"),
        ({"type": "causal-norm", "alpha": 1.0}, CAUSAL_OWN, "'n_chunks'"),
        ({"type": "causal-norm", "n_chunks": 2}, CAUSAL_OWN, "'alpha'"),
        (CAUSAL | {"n_chunks": 3}, CAUSAL_OWN, "n_chunks must divide .* got 3"),
        (CAUSAL | {"n_chunks": 0}, CAUSAL_OWN, "n_chunks must divide .* got 0"),
        (CAUSAL | {"n_chunks": -1}, CAUSAL_OWN, "n_chunks must divide .* got -1"),
        (CAUSAL | {"n_chunks": 10**40}, CAUSAL_OWN, "n_chunks must divide"),
        (CAUSAL | {"n_chunks": "2"}, CAUSAL_OWN, "fit its weights"),
        (CAUSAL | {"n_chunks": None}, CAUSAL_OWN, "fit its weights"),
        (CAUSAL | {"alpha": -1.0}, CAUSAL_OWN, "alpha must be .* got -1.0"),
        (CAUSAL | {"alpha": "1"}, CAUSAL_OWN, "fit its weights"),
        (CAUSAL | {"alpha": None}, CAUSAL_OWN, "fit its weights"),
        (CAUSAL | {"alpha": 10**400}, CAUSAL_OWN, "fit its weights"),
        ({"type": "whitened"}, WHITENED_OWN, "a whitened head must hold another head"),
        ({"type": "whitened"}, MAPPED, r"\['center', 'map'\] .*head.weight"),
        ({"type": "whitened", "head": LINEAR}, MAPPED, "'normalize'"),
        (WHITENED | {"head": None}, MAPPED, "fit its weights"),
        (WHITENED | {"head": "linear"}, MAPPED, "fit its weights"),
        (WHITENED | {"head": [LINEAR]}, MAPPED, "fit its weights"),
        (WHITENED | {"head": {}}, MAPPED, "'type'"),
        (WHITENED | {"head": {"type": "mlp"}}, MAPPED, "got 'mlp'"),
        (WHITENED | {"head": CAUSAL}, MAPPED, r"\['direction', 'weight'\] .*got"),
        (WHITENED, WHITENED_OWN, r"a linear head has .*got \[\]"),
        (WHITENED, INNER, r"\['center', 'map'\] .*got \[\]"),
        (WHITENED, INNER | {"map": WEIGHT}, r"\['center', 'map'\] .*got \['map'\]"),
        (WHITENED, MAPPED | {"odd": VECTOR}, r"got \['center', 'map', 'odd'\]"),
        (WHITENED, MAPPED | {"head.odd": VECTOR}, r"got \['odd', 'weight'\]"),
        (WHITENED, MAPPED | {"map": WEIGHT.T}, r"to the 2 features .*\[2, 3\]"),
        (WHITENED, MAPPED | {"map": VECTOR}, r"of shape \[3\]"),
        (WHITENED, MAPPED | {"map": WEIGHT.long()}, r"got torch\.int64"),
        (WHITENED, MAPPED | {"map": WEIGHT / 0}, "must be finite"),
        (WHITENED, MAPPED | {"center": VECTOR[:2]}, "center .* of 3 numbers"),
        (WHITENED, MAPPED | {"center": VECTOR / 0}, "center must be finite"),
    ],
)
def test_what_does_not_fit_names_the_file(spec, tensors, message, tmp_path):
    path = written(tmp_path / "odd", spec, tensors)
    with pytest.raises(ValueError, match=f"odd must hold .*{message}"):
        load_head(path)


@pytest.mark.parametrize("n_chunks", [2.0, True])
def test_a_number_of_chunks_that_is_no_integer_names_the_file(n_chunks, tmp_path):
    path = written(tmp_path / "odd", CAUSAL | {"n_chunks": n_chunks}, CAUSAL_OWN)
    with pytest.raises(ValueError, match=r"odd must hold .*n_chunks"):
        load_head(path)


@pytest.mark.parametrize("alpha", ["NaN", "Infinity", "-Infinity"])
def test_alpha_that_is_no_number_names_the_file(alpha, tmp_path):
    # JSON of Python knows NaN when it reads; we never write it.
    path = written(tmp_path / "odd", CAUSAL | {"alpha": 12345678.5}, CAUSAL_OWN)
    data = path.read_bytes()
    # The header has a fixed length: fill what is left with spaces.
    path.write_bytes(data.replace(b"12345678.5", alpha.encode().ljust(10)))
    with pytest.raises(ValueError, match=r"odd must hold .*alpha must be at least 0"):
        load_head(path)


@pytest.mark.parametrize("own", [LINEAR, CAUSAL])
def test_tensors_of_a_head_that_holds_none_belong_to_nothing(own, tmp_path):
    tensors = INNER | (CAUSAL_OWN if own is CAUSAL else {"weight": WEIGHT})
    with pytest.raises(ValueError, match=r"odd must hold .*head\.weight"):
        load_head(written(tmp_path / "plain odd", own, tensors))
    # A head in the metadata makes them no better: nothing would use it.
    with pytest.raises(ValueError, match="odd must hold"):
        load_head(written(tmp_path / "odd", own | {"head": LINEAR}, tensors))


def test_classes_of_another_number_name_the_file(tmp_path):
    named = {f"head.{name}": tensor for name, tensor in (INNER | OWN).items()}
    classes = {"dtype": "<i8", "values": [1, 2]}
    write_tensors(tmp_path / "odd", named, {"head": AFFINE, "classes": classes})
    with pytest.raises(ValueError, match=r"odd must hold .*3 rows; got shape \(2,\)"):
        load_head(tmp_path / "odd")


@pytest.mark.parametrize("depth", [300, 700])
@pytest.mark.parametrize("whole", [True, False])
def test_very_deep_nesting_names_the_file(depth, whole, tmp_path):
    spec, tensors = LINEAR, {"head." * depth + "weight": WEIGHT}
    for level in range(depth):
        spec = {"type": "affine", "head": spec}
        tensors |= {"head." * level + name: VECTOR for name in OWN}
    path = written(tmp_path / "odd", spec, tensors if whole else {})
    with pytest.raises(ValueError, match="odd must"):
        load_head(path)


def test_very_deep_ensembles_name_the_file(tmp_path):
    spec = LINEAR
    for _ in range(300):
        spec = {"type": "ensemble", "members": [spec]}
    with pytest.raises(ValueError, match="odd must"):
        load_head(written(tmp_path / "odd", spec, {"weight": WEIGHT}))
