"""`python -m benchmarks [NAME …]`: run the measurements one after the other, all of them by default."""

import argparse
import importlib
import pkgutil

import benchmarks


def main() -> None:
    """Run the benchmarks named on the command line."""
    modules = [each for each in pkgutil.iter_modules(benchmarks.__path__) if not each.ispkg]
    names = [each.name for each in modules if not each.name.startswith("_")]
    options = argparse.ArgumentParser(prog="python -m benchmarks")
    options.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    wanted = options.parse_args().names or names
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        options.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(names)}")
    for name in wanted:
        print(f"\n{name}\n{'-' * len(name)}")
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
