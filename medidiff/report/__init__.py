"""One self-contained HTML page, drawn from Results and from tables."""

from medidiff.report.page import DISCLAIMER, Picture, Section, Table, render_page
from medidiff.report.sections import result_section, write_report

__all__ = ["DISCLAIMER", "Picture", "Section", "Table", "render_page", "result_section", "write_report"]
