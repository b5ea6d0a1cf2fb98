"""One network of each family, at the smallest size at which it trains: what shared tests run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from optuna_layerwise.models import ModelSpec


@dataclasses.dataclass(frozen=True)
class Network:
    """A member of a family, and the smallest image that it takes in train mode."""

    name: str
    image_size: int = 32
    args: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(name=self.name, weights=None, image_size=self.image_size, args=self.args)


_VIT = {
    **{"hidden_size": 32, "num_hidden_layers": 6, "num_attention_heads": 2},
    **{"intermediate_size": 64, "image_size": 32, "patch_size": 8, "hidden_dropout_prob": 0.1},
}
NETWORKS = {
    network.name: network
    for network in (
        Network("resnet18"),
        Network("alexnet", 64),
        Network("squeezenet1_1"),
        Network("mnasnet0_5"),
        Network("maxvit_t", 224),
        Network("densenet121"),
        Network("vgg11_bn"),
        Network("inception_v3", 299),
        Network("googlenet", args={"aux_logits": True}),
        Network("convnext_tiny"),
        Network("efficientnet_b0"),
        Network("mobilenet_v2", args={"width_mult": 0.35}),
        Network("mobilenet_v3_small"),
        Network("shufflenet_v2_x0_5"),
        Network("regnet_y_400mf"),
        Network("vit_b_32", args={"image_size": 32}),
        Network("swin_t"),
        Network("swin_v2_t"),
        Network("digits_cnn", 8),
        Network("resnet20"),
        Network("timm/resnet10t"),
        Network("timm/vit_tiny_patch16_224", args={"img_size": 32, "patch_size": 8}),
        Network("timm/convnext_atto"),
        Network("timm/mobilenetv3_small_050"),
        Network("timm/deit_tiny_distilled_patch16_224", args={"img_size": 32, "patch_size": 8}),
        Network("timm/resnetv2_50", args={"layers": [1, 1, 1, 1], "channels": [8, 16, 24, 32]}),
        Network("transformers/vit", args=_VIT),
        Network(
            "transformers/convnext",
            args={
                **{"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]},
                "drop_path_rate": 0.1,
            },
        ),
        Network(
            "transformers/resnet",
            args={
                **{"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]},
                **{"embedding_size": 8, "layer_type": "basic"},
            },
        ),
        Network("transformers/hgnet_v2", 64),
    )
}
"""By the name of `ModelSpec`."""
SMALL = ("digits_cnn", "resnet20", "timm/resnet10t", "transformers/vit", "mobilenet_v3_small")
"""One of each library and kind: those that sweeps over `NETWORKS` keep in `make test`."""
