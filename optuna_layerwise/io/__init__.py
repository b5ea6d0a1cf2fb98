"""Values, texts and files where they enter or leave the program: checked, bounded and whole."""

__all__: list[str] = []
