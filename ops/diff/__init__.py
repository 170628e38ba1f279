"""`meridian diff`: what a change does, for the person who must approve it.

Layout, in reading order:

rehearsal   both revisions on the real engine, in a scratch state
change      one changed resource: values, risk, undo; secrets masked
fold        the same change over many regions, said once
digest      all of it, with cost, quota and policy before and after
shown       terminal, Markdown, JSON, SARIF
"""
