"""x"""
def elementwise(*a): return "-"
