"""Celery's way in: `celery -A worker worker`, or `dibao worker`, which calls it."""

from mailer.app import worker

celery = worker()
