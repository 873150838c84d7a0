#!/usr/bin/env python3
"""The same thing as the console script `autoloader`, for people who have only cloned the project."""

from autoloader.cli import main

if __name__ == "__main__":
    main()
