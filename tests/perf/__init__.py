"""What ringlet costs beside its peers, measured in one command each and never part of the suite.

Every file named after a question (``switch``, ``spawn``, ``memory``, ``yield_``, ``channel``,
``timers``, ``lock``, ``growth``, ``echo``, ``http`` and more) holds what each peer runs and the
targets ringlet has to meet; the other files hold the harness:

    model       a figure, its targets, its verdict
    peers       which peers there are and whether they are installed
    children    one measurement in one fresh process on one core
    worker      what that process does
    serving     a server and its load, a core each: CPU time per request
    tls_load    load over TLS
    report      tables and JSON
    plot        a picture of what grows
    cli         options, rounds, progress

``python -m tests.perf`` runs all of them; ``docs/performance.md`` explains how to read them.
"""
