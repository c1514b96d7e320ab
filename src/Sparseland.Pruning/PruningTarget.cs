using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;
using Sparseland.Training;

namespace Sparseland.Pruning;

/// <summary>The weights and masks that a method works on: those of a graph, or those of a model that is being trained.</summary>
public sealed class PruningTarget
{
    private PruningTarget(ModelGraph graph, TrainableModel? model)
    {
        Graph = graph;
        Model = model;
        Layers = LayerDiscovery.Find(graph);
    }

    /// <summary>The graph. While a model is trained, its weights lag behind until <see cref="TrainableModel.SyncToGraph"/>.</summary>
    public ModelGraph Graph { get; }

    /// <summary>The model that is being trained, or null.</summary>
    public TrainableModel? Model { get; }

    /// <summary>All prunable weights, in the order in which the graph uses them.</summary>
    public IReadOnlyList<PrunableLayer> Layers { get; }

    /// <summary>A graph on its own: enough for methods that need the weights alone.</summary>
    public static PruningTarget Of(ModelGraph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        return new PruningTarget(graph, null);
    }

    /// <summary>A model in training: for methods that need data or gradients.</summary>
    public static PruningTarget Of(TrainableModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return new PruningTarget(model.Graph, model);
    }

    /// <summary>A copy of a layer's values, in the weight's own order.</summary>
    public float[] Values(PrunableLayer layer)
    {
        ArgumentNullException.ThrowIfNull(layer);
        if (Model?.FindParameter(layer.Name) is { } parameter) return parameter.Value.ToArray();
        return (float[])Graph.Weights[layer.Name].Read().ToSingles().Clone();
    }

    /// <summary>A layer's mask, or null.</summary>
    public Mask? Mask(PrunableLayer layer)
    {
        ArgumentNullException.ThrowIfNull(layer);
        return Model?.FindParameter(layer.Name) is { } parameter ? parameter.Mask : Graph.Weights[layer.Name].Mask;
    }

    /// <summary>Sets a layer's mask; removed weights become zero at once.</summary>
    public void SetMask(PrunableLayer layer, Mask mask)
    {
        ArgumentNullException.ThrowIfNull(layer);
        if (Model?.FindParameter(layer.Name) is { } parameter) Model.SetMask(parameter, mask);
        else Graph.Weights[layer.Name].SetMask(mask);
    }

    /// <summary>Weights of a layer that are not removed.</summary>
    public int KeptCount(PrunableLayer layer) => Mask(layer)?.KeptCount ?? layer.Length;
}
