using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Architectures;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Tests.Recovery;

public class BlockReconstructionTests
{
    private static ModelGraph Llama(int layers = 2) => ArchitectureCatalog.Get("llama").Build(ArchitectureCatalog.Get("llama").DefaultOptions().Parse($"dim=16,hidden=32,layers={layers},heads=2,kvheads=2,sequence=32"), 3);

    private static DataSource Text => DataSource.Open("stories", new DataSourceOptions { Window = 16 });

    private static TrainableModel Pruned(ModelGraph graph, double sparsity)
    {
        var model = new TrainableModel(graph.Clone());
        ((OneShotSparsifier)MethodCatalog.Get("magnitude").Build(new PruningSettings { Sparsity = sparsity, Policy = new Pruning.Layers.LayerPolicy { Last = false } })).Apply(PruningTarget.Of(model));
        return model;
    }

    private static RecoveryContext Context(ModelGraph dense) => new(Text, InputNormalization.None) { Teacher = new TrainableModel(dense.Clone()) };

    [Fact]
    public void Blocks_run_on_their_own_give_what_the_network_gives()
    {
        ModelGraph graph = Llama(3);
        IReadOnlyList<NetworkBlock> blocks = NetworkBlocks.Find(graph, l => l.Name.Contains("layers", StringComparison.Ordinal));
        Assert.Equal(3, blocks.Count);
        for (int b = 1; b < blocks.Count; b++) Assert.Equal(blocks[b - 1].Output, blocks[b].Input);
        Assert.All(blocks, b => Assert.Equal(7, b.Layers.Count));
        var model = new TrainableModel(graph) { IsTraining = false };
        Batch batch = new BatchLoader(Text.ForTraining, new BatchOptions { BatchSize = 3, Shuffle = false }).At(0);
        var values = new Dictionary<string, (float[] Values, int[] Shape)>();
        var observers = blocks.SelectMany(b => new[] { b.Input, b.Output }).Distinct().Select(v => model.Observe(v, x => values[v] = (x.Tensor.ToArray(), [.. x.Tensor.Shape]))).ToList();
        using (GradientMode.Off()) model.Forward(new ModelValue(batch.Inputs));
        foreach (IDisposable o in observers) o.Dispose();
        foreach (NetworkBlock block in blocks)
        {
            var part = new TrainableModel(NetworkBlocks.Extract(graph, block)) { IsTraining = false };
            using (GradientMode.Off()) Near.BitEqual(values[block.Output].Values, part.Forward(new ModelValue(TensorData.Wrap(values[block.Input].Values, values[block.Input].Shape))).Values, block.Name);
        }
    }

    [Fact]
    public void An_unpruned_block_starts_at_no_error_and_a_pruned_one_comes_closer()
    {
        ModelGraph dense = Llama();
        // Masks that keep everything: there are blocks, and nothing to reconstruct.
        var whole = new TrainableModel(dense.Clone());
        foreach (Parameter p in whole.Parameters.Where(p => p.Name.Contains("layers", StringComparison.Ordinal) && p.Kind == ParameterKind.Weight)) whole.SetMask(p, Mask.Ones(p.Value.Shape.ToArray()));
        var nothing = new BlockReconstruction(RetrainedParts.MaskLora, 1, 8) { Rank = 2 };
        nothing.Recover(whole, Context(dense));
        Assert.Equal(2, nothing.Blocks.Count);
        Assert.All(nothing.Blocks, b => Assert.Equal(0, b.Before));

        foreach (RetrainedParts parts in (RetrainedParts[])[RetrainedParts.Norms | RetrainedParts.MaskLora, RetrainedParts.Norms, RetrainedParts.ScaleLora, RetrainedParts.LoraPrune])
        {
            TrainableModel model = Pruned(dense, 0.5);
            Dictionary<string, Mask?> masks = model.Parameters.ToDictionary(p => p.Name, p => p.Mask);
            Dictionary<string, float[]> before = model.Parameters.ToDictionary(p => p.Name, p => p.Value.ToArray());
            // What LoRA-Prune learns where the mask is, is cut at the end: small steps as in the paper.
            var method = new BlockReconstruction(parts, 40, 16) { Rank = 4, LearningRate = parts == RetrainedParts.LoraPrune ? 5e-4 : 0.01 };
            Assert.NotNull(method.Recover(model, Context(dense)));
            Assert.Equal(2, method.Blocks.Count);
            Assert.All(method.Blocks, b => Assert.True(b.Trained > 0 && b.After < b.Before, $"{parts}: {b}"));
            foreach (Parameter p in model.Parameters)
            {
                Assert.Equal(masks[p.Name], p.Mask);
                if (p.Mask is { } mask) for (int i = 0; i < mask.Length; i++) Assert.True(mask[i] || p.Value.Values[i] == 0);
                bool trains = (p.Kind == ParameterKind.Norm && parts.HasFlag(RetrainedParts.Norms) && p.Name.Contains("layers", StringComparison.Ordinal)) || (p.Mask is not null && parts != RetrainedParts.Norms);
                if (!trains) Near.BitEqual(before[p.Name], p.Value.Values, p.Name);
            }
        }
    }

    [Fact]
    public void Later_blocks_see_what_the_reconstructed_ones_before_them_give()
    {
        ModelGraph dense = Llama();
        TrainableModel model = Pruned(dense, 0.6);
        var method = new BlockReconstruction(RetrainedParts.MaskLora, 30, 16) { Rank = 4, LearningRate = 0.01 };
        method.Recover(model, Context(dense));
        // By hand: the second block, pruned and dense, on what the first one gives in either network.
        NetworkBlock second = method.Validate(model, new TrainableModel(dense.Clone()))[1];
        (float[] Values, int[] Shape) sparse = Values(model, second.Input), whole = Values(new TrainableModel(dense.Clone()), second.Input);
        float[] student = Through(model.Graph, second, sparse), target = Through(dense, second, sparse);
        double error = Error(student, target);
        Assert.Equal(error, method.Blocks[1].After, 1e-5 * error);
        // Neither inputs nor targets of the dense network would give this.
        double denseInputs = Error(Through(model.Graph, second, whole), Through(dense, second, whole)), denseTargets = Error(student, Through(dense, second, whole));
        Assert.True(Math.Abs(denseInputs - error) > 1e-3 * error, $"{denseInputs} with dense inputs, {error} with the block's own");
        Assert.True(Math.Abs(denseTargets - error) > 1e-3 * error, $"{denseTargets} with dense targets, {error} with the block's own");
    }

    [Fact]
    public void Stopped_behind_a_block_and_resumed_is_bit_equal()
    {
        ModelGraph dense = Llama(3);
        BlockReconstruction Method() => new(RetrainedParts.Norms | RetrainedParts.MaskLora, 8, 8) { Rank = 2, LearningRate = 0.01 };
        TrainableModel straight = Pruned(dense, 0.5), cut = Pruned(dense, 0.5), resumed = Pruned(dense, 0.5);
        BlockReconstruction whole = Method(), first = Method(), second = Method();
        whole.Recover(straight, Context(dense));
        using var cancel = new CancellationTokenSource();
        ReconstructedBlock[] finished = [];
        first.BlockDone = () =>
        {
            // The state of this moment, not what the model holds when the run has ended.
            finished = [.. first.Blocks];
            Pruning.Programs.ModelSnapshot.Of(cut).Restore(resumed);
            cancel.Cancel();
        };
        Assert.ThrowsAny<OperationCanceledException>(() => first.Recover(cut, Context(dense), cancel.Token));
        Assert.Single(finished);
        int trained = 0;
        second.Finished = finished;
        second.BlockDone = () => trained++;
        second.Recover(resumed, Context(dense));
        Assert.Equal(2, trained);
        Assert.Equal(whole.Blocks, second.Blocks);
        foreach (Parameter p in straight.Parameters) Near.BitEqual(p.Value.Values, resumed.Parameter(p.Name).Value.Values, p.Name);
    }

    // A value of the network on the first 16 samples.
    private static (float[] Values, int[] Shape) Values(TrainableModel model, string value)
    {
        model.IsTraining = false;
        (float[] Values, int[] Shape) result = ([], []);
        using (model.Observe(value, v => result = (v.Tensor.ToArray(), [.. v.Tensor.Shape])))
        using (GradientMode.Off()) model.Forward(new ModelValue(new BatchLoader(Text.ForTraining, new BatchOptions { BatchSize = 16, Shuffle = false }).At(0).Inputs));
        return result;
    }

    private static float[] Through(ModelGraph graph, NetworkBlock block, (float[] Values, int[] Shape) input)
    {
        var part = new TrainableModel(NetworkBlocks.Extract(graph, block)) { IsTraining = false };
        using (GradientMode.Off()) return part.Forward(new ModelValue(TensorData.Wrap(input.Values, input.Shape))).ToArray();
    }

    private static double Error(float[] a, float[] b) => a.Zip(b, (x, y) => ((double)x - y) * ((double)x - y)).Average();

    [Fact]
    public void What_is_missing_is_said_before_anything_is_trained()
    {
        ModelGraph dense = Llama();
        var method = new BlockReconstruction(RetrainedParts.Norms);
        Assert.Equal("SL4005", Assert.Throws<PruningException>(() => method.Recover(Pruned(dense, 0.5), new RecoveryContext(Text, InputNormalization.None))).Code);
        Assert.Equal("SL4006", Assert.Throws<PruningException>(() => method.Recover(new TrainableModel(dense.Clone()), Context(dense))).Code);
        var pictures = new RecoveryContext(new DataSource("shapes", "procedural", Make.Pictures(), null), InputNormalization.None) { Teacher = new TrainableModel(Make.Network()) };
        Assert.Equal("SL4006", Assert.Throws<PruningException>(() => method.Recover(new TrainableModel(Make.Network()), pictures)).Code);
        // A network of this kind has no biases: nothing would be trained.
        PruningException nothing = Assert.Throws<PruningException>(() => new BlockReconstruction(RetrainedParts.Biases).Recover(Pruned(dense, 0.5), Context(dense)));
        Assert.Equal("SL4006", nothing.Code);
        Assert.Contains("Biases", nothing.Message);
        Assert.Equal("SL4020", Assert.Throws<PruningException>(() => method.Validate(Pruned(dense, 0.5), new TrainableModel(Llama(1)))).Code);
        Assert.Equal(2, method.Validate(Pruned(dense, 0.5), new TrainableModel(dense.Clone())).Count);
        Assert.Empty(method.Blocks);
        Assert.Throws<ArgumentException>(() => new BlockReconstruction(RetrainedParts.Head));
    }
}
