using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Tests.Programs;

public sealed class SparseSoupsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("sparseland-soups-").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    private static DataSource Data => new("shapes", "procedural", Make.Pictures(), Make.Pictures(60, 9));

    private static SparseSoups Soups(int phases, int copies, SoupVariation variation = SoupVariation.Seed) =>
        new(new PruningSettings { Sparsity = 0.8, Bounds = LayerBounds.None }, phases, copies, 0.5, variation, "constant", dense: true);

    private (TrainableModel Model, SparseSoups Method, PruningResult Result) Go(SparseSoups method, string? folder = null, bool resume = false, CancellationToken cancellation = default)
    {
        var model = new TrainableModel(Make.Network());
        var run = new ProgramRun(method, model, new ProgramOptions { Plan = new TrainingPlan { Steps = 10, BatchSize = 20, Seed = 3 }, Data = Data, Folder = folder is null ? null : Path.Combine(_folder, folder), Resume = resume }, cancellation);
        return (model, method, method.Run(run));
    }

    [Fact]
    public void Shares_per_phase_worked_examples()
    {
        Assert.Equal([0.9, 0.683772, 0.535841, 0.369043], new[] { 1, 2, 3, 5 }.Select(n => Math.Round(1 - SparseSoups.DensityAfter(1, n, 0.1), 6)));
        Assert.Equal(0.1, SparseSoups.DensityAfter(5, 5, 0.1), 12);
    }

    [Fact]
    public void A_soup_has_the_mask_of_its_ingredients_and_their_mean()
    {
        (TrainableModel model, SparseSoups method, PruningResult result) = Go(Soups(2, 3));
        Assert.Equal(Math.Round(result.Total * 0.2), result.Kept);
        Assert.Equal(2, method.Soups.Count);
        foreach (SoupPhase phase in method.Soups)
        {
            Assert.Equal(3, phase.Copies.Count);
            Assert.True(phase.Distance > 0 && phase.Angle > 0);
            foreach (Parameter p in model.Parameters)
            {
                Assert.All(phase.Copies, c => Assert.Equal(phase.Soup.Mask(p.Name), c.Mask(p.Name)));
                for (int i = 0; i < p.Value.Length; i++)
                {
                    double mean = phase.Copies.Sum(c => (double)c.Values(p.Name)[i]) / 3;
                    Assert.Equal((float)mean, phase.Soup.Values(p.Name)[i]);
                    if (phase.Soup.Mask(p.Name) is { } mask && !mask[i]) Assert.Equal(0, phase.Soup.Values(p.Name)[i]);
                }
            }
        }
        foreach (Parameter p in model.Parameters.Where(p => p.Mask is not null)) Assert.True(p.Mask!.IsSubsetOf(method.Soups[0].Soup.Mask(p.Name)!));
    }

    [Fact]
    public void Copies_of_one_network_average_to_it_and_other_masks_are_refused()
    {
        (TrainableModel model, SparseSoups method, _) = Go(Soups(1, 1));
        ModelSnapshot only = method.Soups[0].Copies[0];
        ModelSoup.Average(model, [only, only, only]);
        foreach (Parameter p in model.Parameters) Near.BitEqual(only.Values(p.Name).ToArray(), p.Value.Values);
        // Averages of networks with other masks would be denser: two of density 0.5 that are drawn apart have 0.75, three of 0.1 have 0.271.
        Assert.Equal([0.75, 0.271], new[] { (0.5, 2), (0.1, 3) }.Select(c => Math.Round(1 - Math.Pow(1 - c.Item1, c.Item2), 6)));
        Parameter pruned = model.Parameters.First(p => p.Mask is not null);
        model.SetMask(pruned, Mask.FromFlags(pruned.Value.Shape.ToArray(), [.. pruned.Mask!.ToFlags().Select((k, i) => k && i % 2 == 0)]));
        PruningException e = Assert.Throws<PruningException>(() => ModelSoup.Average(model, [only, ModelSnapshot.Of(model)]));
        Assert.Equal("SL4016", e.Code);
    }

    [Fact]
    public void A_greedy_soup_is_no_worse_than_its_best_copy_on_samples_that_nothing_was_trained_on()
    {
        int[] trainedOn = [];
        var method = new SparseSoups(new PruningSettings { Sparsity = 0.8, Bounds = LayerBounds.None }, 2, 4, 1, SoupVariation.LearningRate, "constant", dense: true, heldOut: 0.2);
        var model = new TrainableModel(Make.Network());
        var run = new ProgramRun(method, model, new ProgramOptions { Plan = new TrainingPlan { Steps = 16, BatchSize = 20, LearningRate = 0.2, Seed = 3 }, Data = Data, Callbacks = [new Counts(c => trainedOn = [.. trainedOn, c])] });
        PruningResult result = method.Run(run);
        Assert.Equal(Math.Round(result.Total * 0.2), result.Kept);
        Assert.Equal(160, run.Data.ForTraining.Count);
        Assert.All(trainedOn, c => Assert.Equal(160, c));
        // The same draw again gives the held-out part.
        IDataset heldOut = new ProgramRun(method, new TrainableModel(Make.Network()), new ProgramOptions { Plan = run.Plan, Data = Data }).HoldOut(0.2);
        Assert.Equal(40, heldOut.Count);
        Assert.Empty(Prints(heldOut).Intersect(Prints(run.Data.ForTraining)));
        foreach (SoupPhase phase in method.Soups)
        {
            Assert.InRange(phase.Chosen.Count, 1, 4);
            Assert.Equal(phase.Chosen.Count, phase.Chosen.Distinct().Count());
            double[] own = [.. phase.Copies.Select(Accuracy)];
            Assert.Equal(own.Max(), own[phase.Chosen[0]]);
            Assert.True(Accuracy(phase.Soup) >= own.Max(), "a copy that lowers the soup's accuracy was taken");
            foreach (Parameter p in model.Parameters)
            {
                for (int i = 0; i < p.Value.Length; i++) Assert.Equal((float)(phase.Chosen.Sum(c => (double)phase.Copies[c].Values(p.Name)[i]) / phase.Chosen.Count), phase.Soup.Values(p.Name)[i]);
            }
        }

        double Accuracy(ModelSnapshot state)
        {
            state.Restore(model);
            return run.Evaluate(heldOut).Top1;
        }
    }

    private static IEnumerable<string> Prints(IDataset data)
    {
        float[] sample = new float[data.SampleLength()];
        int[] target = new int[1];
        for (int i = 0; i < data.Count; i++)
        {
            data.Fill(i, sample, target);
            yield return string.Join(",", sample);
        }
    }

    private sealed class Counts(Action<int> look) : Training.Runs.ITrainerCallback
    {
        public string Name => "counts";

        public void OnStart(Training.Runs.TrainingContext context) => look(context.Loader.Dataset.Count);
    }

    [Theory]
    [InlineData(SoupVariation.LearningRate)]
    [InlineData(SoupVariation.WeightDecay)]
    [InlineData(SoupVariation.Length)]
    public void Copies_differ_in_what_was_asked_for(SoupVariation variation)
    {
        SparseSoups method = Soups(1, 3, variation);
        Assert.Equal(2.5, method.Trainings, 9);
        (_, method, _) = Go(method);
        Assert.True(method.Soups[0].Distance > 0);
    }

    [Fact]
    public void Stopped_and_resumed_is_bit_equal()
    {
        (TrainableModel straight, _, _) = Go(Soups(2, 2));
        using var cancel = new CancellationTokenSource();
        var model = new TrainableModel(Make.Network());
        SparseSoups method = Soups(2, 2);
        var run = new ProgramRun(method, model, new ProgramOptions
        {
            Plan = new TrainingPlan { Steps = 10, BatchSize = 20, Seed = 3 },
            Data = Data,
            Folder = Path.Combine(_folder, "cut"),
            Progress = new At("phase-2-copy-1", cancel),
        }, cancel.Token);
        Assert.Throws<OperationCanceledException>(() => method.Run(run));
        (TrainableModel resumed, _, _) = Go(Soups(2, 2), "cut", resume: true);
        foreach (Parameter p in straight.Parameters) Near.BitEqual(p.Value.Values, resumed.Parameter(p.Name).Value.Values, p.Name);
        for (int b = 0; b < straight.Buffers.Count; b++) Near.BitEqual(straight.Buffers[b].Value.Values, resumed.Buffers[b].Value.Values);
    }

    private sealed class At(string phase, CancellationTokenSource cancel) : IProgress<ProgramProgress>
    {
        public void Report(ProgramProgress value)
        {
            if (value.Phase == phase && value.Training is { Step: >= 3 }) cancel.Cancel();
        }
    }
}
