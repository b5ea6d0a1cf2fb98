"""What a database holds about a study, read and written without torch.

Each record is a dataclass that is stored as one JSON attribute: how a trial was trained (`run`),
what finalizing found (`final`), and with what the trials were made (`fingerprint`).
"""

__all__: list[str] = []
