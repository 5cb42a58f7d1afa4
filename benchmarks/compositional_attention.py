"""How sharp the attention is on each shared set: why transfer helps here, not there."""

import torch

from benchmarks.common import SETS, load, write
from benchmarks.compositional_tables import trained_head
from headtail import CompositionalClassifier, CosineClassifier, transfer
from headtail.tensors import unit

THRESHOLD = 20

result = {}
for name in SETS:
    train = load(name, "train")
    data = (train.features, train.targets)
    base = trained_head(name) or CosineClassifier(random_state=0).fit(*data).head_
    classifier = CompositionalClassifier(base, donors=THRESHOLD).fit(*data)
    donors = torch.from_numpy(classifier.trained_counts_ > THRESHOLD)
    prototypes = unit(classifier.statistics_.prototypes).float()
    weight = unit(classifier.base_head_.weight.detach())[donors]
    shares = torch.from_numpy(classifier.attention_[0])[:, donors]
    received = unit(transfer(prototypes, weight, weight))
    apart = ~torch.eye(len(prototypes), dtype=torch.bool)
    entropy = -(shares * shares.clamp(min=1e-30).log()).sum(dim=1)
    result[name] = {
        "donors": int(donors.sum()),
        "effective_donors": entropy.exp().mean().item(),
        "cosine_between_prototypes": (prototypes @ prototypes.T)[apart].mean().item(),
        "cosine_between_received": (received @ received.T)[apart].mean().item(),
    }
    print(name, {key: round(value, 2) for key, value in result[name].items()})
write("compositional_attention", {"threshold": THRESHOLD, "sets": result})
