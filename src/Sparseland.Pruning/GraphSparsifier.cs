using Sparseland.Model.Graph;

namespace Sparseland.Pruning;

/// <summary>What happened to one part of a graph.</summary>
/// <param name="Name">The group, layer or block.</param>
/// <param name="Kind">What is counted: channels, heads, blocks ...</param>
/// <param name="Before">Units before.</param>
/// <param name="After">Units after.</param>
/// <param name="Note">A remark for people, or null.</param>
public sealed record GraphChange(string Name, string Kind, int Before, int After, string? Note = null);

/// <summary>A smaller model and how it came about.</summary>
/// <param name="Graph">The smaller model.</param>
/// <param name="Changes">One row per part that could be cut.</param>
/// <param name="Refused">What could not be cut, with reasons.</param>
/// <param name="Warnings">Sentences for people.</param>
public sealed record GraphResult(ModelGraph Graph, IReadOnlyList<GraphChange> Changes, IReadOnlyList<string> Refused, IReadOnlyList<string> Warnings)
{
    /// <summary>Whether nothing was removed.</summary>
    public bool NothingRemoved => Changes.All(c => c.After >= c.Before);
}

/// <summary>A method that makes the graph itself smaller: channels, heads, blocks; before training, or after.</summary>
/// <remarks>Unlike masks this changes shapes, so it returns another graph; weights that stay keep their values unless the method says that it draws new ones.</remarks>
public abstract class GraphSparsifier(string id, PruningStage stage, PruningSettings settings) : Sparsifier(id, stage, settings)
{
    /// <summary>What it needs besides weights as it was built; the catalogue says what it may need.</summary>
    public virtual Criteria.CriterionNeeds Requires => Criteria.CriterionNeeds.None;

    /// <summary>Builds the smaller model; the model given is not changed.</summary>
    /// <exception cref="PruningException">A filter matches nothing, a target cannot be reached, or data is missing.</exception>
    /// <exception cref="OperationCanceledException">The caller cancelled.</exception>
    public abstract GraphResult Rewrite(ModelGraph graph, PruningContext? context = null);
}
