"""What a network is made of: its layers, their shapes, and what they cost.

    print(summary(network, inputs))     a table
    graph(network, inputs)              its structure, for `plots.diagram`

Of any JAX function: what is shown is read from its jaxpr and its named scopes, and nothing is
computed.
"""

from jaxnn.summary.graphs import Edge, Graph, Group, Node, graph
from jaxnn.summary.summaries import Row, Summary, summary

__all__ = ["Edge", "Graph", "Group", "Node", "Row", "Summary", "graph", "summary"]
