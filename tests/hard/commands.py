"""Commands that write, each on files that the fixture `place` makes."""

HEAD = "head.safetensors"
COMPARE = ("compare", "train.npz", "test.npz", "--methods", "ncm,tau-norm")
EXTRACT = ("extract", "network.safetensors", "images.npz", "--workers", "0")
# What is written -> the command that writes it.
COMMANDS = {
    "new.safetensors": ("fit", "train.npz", "--method", "ncm", "-o", "new.safetensors"),
    HEAD: (
        "add",
        HEAD,
        "new.npz",
        "-o",
        HEAD,
    ),
    "p.csv": ("predict", HEAD, "test.npz", "-o", "p.csv"),
    "p.npz": ("predict", HEAD, "test.npz", "-o", "p.npz"),
    "head.pt": ("export", HEAD, "-o", "head.pt"),
    "plain.safetensors": ("export", HEAD, "-o", "plain.safetensors"),
    "compared": (*COMPARE, "-o", "compared"),
    "page.html": (*COMPARE, "--report", "page.html"),
    "again.html": ("report", "earlier", "-o", "again.html"),
    "figures": ("figures", "earlier", "-o", "figures"),
    "features": (*EXTRACT, "-o", "features"),
}


def contents(folder):
    """Return the bytes of every file below a folder, None for every folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }
