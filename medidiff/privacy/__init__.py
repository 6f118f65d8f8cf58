"""The privacy audit: does a synthetic set, or a prior, copy or betray the patients it was made from?"""
