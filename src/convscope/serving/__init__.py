"""A server that answers what a trained network sees in a picture.

    cli_serve → server → app → web.guard            who may ask, and how much
                          └──→ endpoints → pipeline → predictor
                                           decode in a pool, classify in batches

Around it: about (what the model is), metrics and observing (what goes on), openapi (the contract),
page and static/ (for people).
"""
