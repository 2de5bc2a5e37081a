"""``python -m tests.perf``: all questions, or those named."""

from tests.perf import cli

if __name__ == "__main__":
    cli.main()
