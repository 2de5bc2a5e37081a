"""Programs in Stackless's style. Each begins with `import stackless`, and runs in both ways:

ringlet run --stackless examples/stackless/sieve.py
python -m examples.stackless.sieve
"""
