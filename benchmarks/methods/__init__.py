"""All methods at equal work: the committed cells and the page that is made of them."""
