"""What the commands that work on a study are told about this machine."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

from optuna_layerwise.cli.options import AllowDifferent, Download, TrustPaths, told
from optuna_layerwise.cli.stored_paths import check_paths, paths_of

if TYPE_CHECKING:
    import optuna

    from optuna_layerwise.cli.searching import Search
    from optuna_layerwise.experiments.settings import Settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Here:
    """The options that those commands share; what is ``None`` is as stored with the study."""

    data: Annotated[
        str | None, told("Data", "Where the same data lie on this machine. Default: as stored.")
    ] = None
    data_root: Annotated[
        str | None,
        told("Data", "Where the data sets that go by name lie on this machine."),
    ] = None
    image_root: Annotated[
        list[str] | None,
        told("Data", "Where the images that a .csv names lie on this machine; repeatable."),
    ] = None
    download: Download = False
    weights: Annotated[
        str | None, told("Network", "Where the same weights lie on this machine.")
    ] = None
    model: Annotated[
        str | None,
        told("Network", "The study's network again, if it is one that is fetched from a hub."),
    ] = None
    output: Annotated[
        str | None,
        told(
            "Study",
            "Folder for the best weights and for unfinished trials, one for all workers. "
            "Default: as stored.",
        ),
    ] = None
    trust_paths: TrustPaths = False
    device: Annotated[
        str | None, told("Machine", "Device to train on. Default: as stored with the study.")
    ] = None
    threads: Annotated[
        int | None, told("Machine", "Number of threads that torch uses. Default: as stored.")
    ] = None
    allow_different: AllowDifferent = False

    def settings(self, study: optuna.Study, stored: Settings, **changes: Any) -> Settings:
        """A study's settings with what differs on this machine, and with other changes.

        Raises:
            ValueError: if a path is as stored that the user has not chosen; see `check_paths`.
        """
        from optuna_layerwise.experiments.settings import SETTINGS
        from optuna_layerwise.storage import study_id

        given = changes | {
            field.name: SETTINGS[field.name].read(typed)
            for field in dataclasses.fields(Here)
            if field.name in SETTINGS and (typed := getattr(self, field.name)) not in (None, [])
        }
        here = dataclasses.replace(stored, **given)
        study_id(study)  # which older studies lack, and by which the paths are remembered
        check_paths(study, paths_of(here), given=given, trust=self.trust_paths)
        return here

    def search(self, study: optuna.Study, stored: Settings, storage: str) -> Search:
        """A study that exists, opened to be worked on here; see `open_search`.

        Raises:
            ValueError: see `settings` and `open_search`.
        """
        from optuna_layerwise.cli.searching import open_search  # with torch

        return open_search(
            self.settings(study, stored),
            stored,
            storage,
            study.study_name,
            download=self.download,
            allow_different=self.allow_different,
        )
