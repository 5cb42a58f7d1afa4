"""What a comparison says, as a page, as figures and as JSON."""

from headtail.report.answer import about
from headtail.report.build import build_report
from headtail.report.figures import write_figures
from headtail.report.files import REPORT_FILE, load_report, save_report
from headtail.report.html import to_html, write_html
from headtail.report.model import Finding, Report
from headtail.report.thumbnails import Thumbnails, thumbnails

__all__ = [
    "REPORT_FILE",
    "Finding",
    "Report",
    "Thumbnails",
    "about",
    "build_report",
    "load_report",
    "save_report",
    "thumbnails",
    "to_html",
    "write_figures",
    "write_html",
]
