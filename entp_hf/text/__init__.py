"""Measures over a text that rules, gate and mix share: language, words, overlap, what a prompt asks for."""
