"""What a search leaves for people: a table, a page, and the winner as a spec. Functions on `Results`."""

from archdsl.nas.report.csv_table import trials_csv
from archdsl.nas.report.files import Files, write_report
from archdsl.nas.report.page import report_html
from archdsl.nas.report.winner import winner_arch, winner_diff

__all__ = ["Files", "report_html", "trials_csv", "winner_arch", "winner_diff", "write_report"]
