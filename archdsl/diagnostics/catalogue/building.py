"""E5: files, weights, images and commands."""

from __future__ import annotations

from archdsl.diagnostics.catalogue.rule import Rule

BUILDING = {
    "E501": Rule(
        "A file cannot be found or read",
        "The path is taken from the folder you are in. A shipped arch needs no path: its name will do.",
        "archdsl build specs/mamba.arch",
        "archdsl build mamba_r",
    ),
    "E502": Rule(
        "The weights are not recognised",
        "Checkpoints are read where their layout is known: what archdsl wrote, the official ones of the "
        "shipped families, timm's where it has the model. Others need a table in `archdsl/weights`.",
        "archdsl build mamba_r_tiny --weights resnet50.pth",
        "archdsl build mamba_r_tiny --weights mambar_tiny_patch16_224.pth",
    ),
    "E503": Rule(
        "The weights do not fit the architecture",
        "Every tensor needs a place of the same shape; only position embeddings are resampled for another "
        "image size. The report lists what is missing, left over or of another shape.",
        "archdsl build mamba_r_tiny --weights mambar_base_patch16_224.pth",
        "archdsl build mamba_r_base --weights mambar_base_patch16_224.pth",
    ),
    "E504": Rule(
        "A checkpoint is not safe to read",
        "A pickle can run any program when it is opened. Only safetensors and checkpoints that hold "
        "nothing but tensors are read (`torch.load(weights_only=True)`).",
        "archdsl build mamba_r_tiny --weights whole_model.pkl",
        "archdsl build mamba_r_tiny --weights weights_alone.safetensors",
    ),
    "E505": Rule(
        "An extension failed to load",
        "An installed package offers an operator of this name through the entry point `archdsl.ops`, but "
        "its code fails when it is imported. The message has the reason it gave.",
        "archdsl check spec_with_a_broken_extension.arch",
        "archdsl check spec_with_its_extension_reinstalled.arch",
    ),
    "E506": Rule(
        "An optional dependency is missing",
        "Parts of archdsl that few need bring their packages as extras: Ray, the handwritten digits, the "
        "language server. What is missing is told when it is needed, with the command that installs it.",
        "archdsl search tiny_cpu --executor ray",
        "pip install 'archdsl[ray]'",
    ),
    "E507": Rule(
        "An image cannot be read",
        "`--input` takes a picture that Pillow can open, such as JPEG or PNG. Files that are cut off, or "
        "that would unfold to an enormous picture, are refused.",
        "archdsl build mamba_r_tiny --input notes.txt",
        "archdsl build mamba_r_tiny --input photo.jpg",
    ),
    "E508": Rule(
        "A file cannot be written",
        "Files are written beside their place and renamed when they are complete, so the folder must "
        "exist and let you write, and the disk must have room. What was there before is left as it was.",
        "archdsl build mamba_r_tiny --out no_such_folder/model.safetensors",
        "archdsl build mamba_r_tiny --out model.safetensors",
    ),
    "E509": Rule(
        "There is no arch of that name",
        "A name means a shipped arch; `--arch` chooses one of a file. Without `--arch` a file with one "
        "arch, or with one named like the file, is taken at its word.",
        "archdsl build mamba_r_huge",
        "archdsl build mamba_r_large",
    ),
    "E510": Rule(
        "A value on the command line is wrong",
        "`--image` takes one number or `height x width` (384x256), `--set` a path and a value "
        "(s3.heads=16), as they would stand in a variant.",
        "archdsl build mamba_r_tiny --image big",
        "archdsl build mamba_r_tiny --image 384x256",
    ),
    "E511": Rule(
        "A file of published figures is wrong",
        "Beside `mine.arch`, the file `mine.published.toml` has what is printed of its architectures: "
        "`source` above all rows, then for an arch a row `[its_name]` with any of `row`, `table`, `source`, "
        "`params`, `macs`, `macs_of`, `top1` and `note`. Counts are texts, because their digits tell how "
        "exact they are.",
        "archdsl cost mine.arch      # its row says params = 29",
        'archdsl cost mine.arch      # its row says params = "29M"',
    ),
    "E512": Rule(
        "The kernel asked for does not serve",
        "`--backend` or the environment variable ARCHDSL_BACKEND names a kernel that does not exist, is not "
        "installed, does not take this device or type, or failed the test in which it is compared with plain "
        "PyTorch. A kernel that is named is never replaced in silence; `auto` takes the fastest that serves.",
        "archdsl build mamba_r_tiny --device cpu --backend mamba_ssm",
        "archdsl build mamba_r_tiny --device cpu --backend auto",
    ),
    "E514": Rule(
        "A table of block times does not serve",
        "`archdsl bench blocks --table FILE` writes what every distinct block takes on one device with one "
        "set of versions. A file that is none, one of another device or other versions, and one that lacks a "
        "block is refused: a sum over some of the blocks would look like a fast architecture.",
        "archdsl bench blocks mamba_r_tiny --table package.json",
        "archdsl bench blocks mamba_r_tiny --table cpu.json",
    ),
    "E515": Rule(
        "No rates of that device are known",
        "`--device` of `archdsl cost` names a device whose peak rates are shipped: `cpu-2core`, `a100`, "
        "`h100`, `h200`. `--dtype` is a type that it multiplies matrices in; a CPU has no `tf32`.",
        "archdsl cost mamba_r_tiny --device h20",
        "archdsl cost mamba_r_tiny --device h200 --dtype bfloat16",
    ),
}
