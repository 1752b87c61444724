"""The statistics of the gate: pure numerics on paired item scores, no files, no models, no printing.

Nothing is imported here, so that naming the package costs nothing; import the module you need:

- `normal`         tails and critical values of the normal distribution, checks of levels and margins
- `tango`          score test, interval and exact test of a paired difference of proportions
- `mcnemar`        exact and mid-p tests of the discordant pairs, sign-flip test
- `proportions`    Wilson's interval, Newcombe's paired interval (method 10)
- `paired`         the paired scores of one domain, and its tests for pass/fail and for graded scores
- `decision`       one domain's verdict at one look
- `families`       Holm, Benjamini-Hochberg, the pooled loss over domains
- `operating`      exact error rates and power at a fixed number of items
- `planning`       what a number of items can and cannot show, before anything runs
- `clusters`       items that are not independent: cluster-robust error, one score a cluster
- `two_level`      variance between items and between samples, and which is worth paying for
- `boundaries`     group-sequential boundaries by spending, sequential p-values
- `sequential`     one domain over several looks: frozen plan, look, early stop
- `common_looks`   the mean over domains at common looks
- `expected_looks` chances and items of a sequential plan, by simulation
- `eprocess`       betting e-process: valid at every item, with no end planned
- `evalues`        e-values combined: mean, e-BH, e-LOND, and the nightly e-CUSUM
- `benchmark`      what the full run of a fixed list would say, answered early
- `waterbed`       naming the waterbed, its price and size, the sentences about it
- `matrix`         stages against domains: steps, forgetting, backward transfer, attribution
- `ranking`        rank intervals from paired tests, the mean of a recipe over its seeds
- `bradley_terry`  strengths from pairwise votes, with a bootstrap by prompt
- `pareto`         quality against cost: front, front frequency, price of a point
- `agreement`      Cohen's kappa
- `distributions`  distances of two distributions
- `sentences`      the words people read

Proportions and differences lie in [-1, 1] everywhere; a point is 0.01, and only `sentences` speaks
in points. A difference is candidate minus baseline; b counts items on which the candidate is
better, c those on which it is worse.
"""
