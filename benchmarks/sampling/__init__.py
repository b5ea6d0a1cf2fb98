"""Which sampler finds good layer-wise policies in few noisy evaluations?"""
