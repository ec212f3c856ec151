"""The picture report: one HTML file that says what ships, how sure that is, and shows where verdicts flip.

Rules of this room
- The page loads nothing: style, plots and pictures are inside the file, and there is no script.
- Every text that is not ours is escaped where it enters (``markup``), so a hostile name stays a name.
- Equal results give equal bytes: no dates, no random identifiers.
- What ships is read off ``BuildResult.choice``; the bundle is sealed only after the report is written.
"""

from __future__ import annotations

from edgemill_converters.report.page import write_report

__all__ = ["write_report"]
