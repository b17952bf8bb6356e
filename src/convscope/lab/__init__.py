"""The lab: a page that shows a trained run from the inside, and the server behind it.

    cli_lab → server → app → web.guard, turnstile  who may ask, and how much at once
                        ├──→ runs → session        a run by its id, its network, its images
                        ├──→ layers, changes       activations, weights, single units, what if
                        ├──→ mistakes, neighbours  what the test images say
                        ├──→ bench                 pooling and padding on small grids
                        └──→ jobs                  trainings, as processes of their own

The page is `static/`: it computes nothing that is shown as the network's.
"""
