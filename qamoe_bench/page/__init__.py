"""The report as one page of HTML that needs nothing else, for eyes: `report --format html`."""
