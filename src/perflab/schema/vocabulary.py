"""The words that rows and query parameters are made of, with their frequencies."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt

VERBS = (
    "review send prepare call book update fix write plan order check clean draft finish pay renew "
    "schedule test buy read discuss email research organise print repair submit cancel confirm "
    "invite"
).split()
OBJECTS = (
    "the budget,invoice,the slides,dentist,flight to Berlin,project plan,login page,report,"
    "team offsite,groceries,release notes,kitchen,newsletter,thesis chapter,electricity bill,"
    "passport,interview,checkout flow,birthday present,chapter 4,contract,tax return,supplier,"
    "storage room,boarding pass,bicycle,application,subscription,appointment,the guests,"
    "onboarding guide,sprint goals,database backup,landing page,insurance,quarterly numbers"
).split(",")
DETAILS = (
    ",for Anna,before Friday,again,with the team,(draft),for Q3,this week,from last month,"
    "with marketing,- final,for the client"
).split(",")

TITLES = tuple(
    f"{verb.capitalize()} {what} {detail}".strip()
    for verb in VERBS
    for what in OBJECTS
    for detail in DETAILS
)

_TAG_ROOTS = (
    "work home ideas meeting travel books recipes health money urgent someday reading music "
    "garden school research client design code writing"
).split()
TAGS = tuple(root if n == 0 else f"{root}-{n}" for n in range(20) for root in _TAG_ROOTS)
"""400 tags, the commonest first."""

HABIT_NAMES = (
    "Drink water,Run,Read 20 pages,Meditate,Stretch,Journal,No sugar,Practise piano,Walk the dog,"
    "Inbox zero,Learn Spanish,Push-ups,Sleep by eleven,Call family,Plan tomorrow"
).split(",")
PROJECT_NAMES = tuple(
    f"{kind} {topic}"
    for kind in ("Launch", "Move", "Website", "Course", "Renovation", "Campaign", "Migration")
    for topic in ("2024", "2025", "Berlin", "spring", "phase 1", "phase 2", "north", "archive")
)
GOAL_TITLES = tuple(
    f"{what} by {when}"
    for what in ("Run 10 km", "Save 5,000", "Read 24 books", "Learn Spanish", "Ship version 2")
    for when in ("spring", "summer", "autumn", "the end of the year")
)
NOTIFICATIONS = {
    "task_due": "A task is due today",
    "task_assigned": "You were assigned a task",
    "comment": "Somebody commented on your task",
    "habit_streak": "You are on a streak: keep going",
    "weekly_summary": "Your weekly summary is ready",
    "mention": "You were mentioned in a note",
}
FIRST_NAMES = (
    "anna ben carla david elif farid grace hugo ines jonas kim lena mateo nora omar paula "
    "quentin rosa sami tara ursula viktor wanda xenia yusuf zoe"
).split()
LAST_NAMES = (
    "almeida bauer chen dietrich eriksen fischer garcia haddad ivanov jansen kowalski lopez "
    "meyer novak okafor petrov quispe rossi schmidt tanaka ueda vogel weber xu yilmaz zhang"
).split()
MAIL_HOSTS = ("example.com", "mail.example.org", "post.example.net")
USER_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/141.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64) Chrome/139.0.0.0",
    "TaskApp/4.2 (iPhone; iOS 18.6)",
    "TaskApp/4.2 (Android 15)",
)
TIME_ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Europe/London",
    "Asia/Tokyo",
    "America/Sao_Paulo",
    "UTC",
)
LOCALES = ("en", "de", "es", "pt-BR", "ja", "fr")

EVENT_TYPES = (
    "page_view task_opened task_completed task_created habit_checked experiment_viewed search "
    "note_opened note_edited task_edited filter_changed calendar_opened notification_opened "
    "project_opened habit_opened goal_opened task_moved sort_changed tag_added note_created "
    "comment_added session_started goal_updated reminder_set task_deleted settings_opened "
    "task_assigned attachment_added habit_created share_opened project_created widget_used "
    "shortcut_used goal_created theme_changed export_started import_started note_deleted "
    "upgrade_viewed invite_sent upgrade_clicked integration_added help_opened error_shown "
    "project_archived password_changed plan_changed account_exported"
).split()
EVENT_TYPE_SHARES = tuple(
    n**-1.1 / sum(k**-1.1 for k in range(1, len(EVENT_TYPES) + 1))
    for n in range(1, len(EVENT_TYPES) + 1)
)
"""What the application records, the commonest first, and the share of each."""

EXPERIMENTS = tuple(f"exp-{n:02d}" for n in range(1, 31))
_PATHS = ("/today", "/tasks", "/habits", "/notes", "/goals", "/calendar", "/settings")
_DEVICES = ("desktop", "ios", "android")


def payloads(event_type: str) -> list[str]:
    """JSON texts that events of one type carry; later ones are rarer for experiments."""
    if event_type == "experiment_viewed":
        return [
            json.dumps({"experiment": name, "variant": variant, "device": device})
            for name in EXPERIMENTS
            for variant in ("control", "b")
            for device in _DEVICES
        ]
    return [
        json.dumps({"path": path, "device": device, "duration_ms": 20 + 37 * n})
        for n in range(25)
        for path in _PATHS
        for device in _DEVICES
    ]


def zipf(count: int, exponent: float) -> npt.NDArray[np.float64]:
    """Probabilities of a bounded Zipf distribution over ``count`` ranks."""
    weight = np.arange(1, count + 1, dtype=float) ** -exponent
    share: npt.NDArray[np.float64] = weight / weight.sum()
    return share


def cdf(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cumulative probabilities that end in exactly 1."""
    total = np.cumsum(probabilities)
    ends_in_one: npt.NDArray[np.float64] = total / total[-1]
    return ends_in_one


TAG_SKEW = 0.8
