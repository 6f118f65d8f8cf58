"""Who a scan is of, kept out of everything that is written: pseudonyms, redaction, and where identifiers are."""
