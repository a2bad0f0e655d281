"""`python -m mailer.cli` is `dibao`."""

from mailer.cli import main

main()
