using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Tests.Programs;

public class ActivatingTicketsTests
{
    private static bool[][] Prune(int alive, int keep, int negatives, float[] trained, float[] start, LayerBounds? bounds = null)
    {
        PrunableLayer layer = Make.Layer("a", 1, trained.Length);
        return ActivatingTickets.Prune([layer], [trained], [start], [[.. Enumerable.Range(0, trained.Length).Select(i => i < alive)]], keep, negatives, bounds ?? LayerBounds.None);
    }

    [Fact]
    public void Counts_worked_example()
    {
        float[] trained = Make.Random(1000, 1), start = Make.Random(1000, 2);
        bool[] kept = Prune(1000, 800, 20, trained, start)[0], without = Prune(1000, 800, 0, trained, start)[0], after180 = Prune(1000, 820, 0, trained, start)[0];
        Assert.Equal(800, kept.Count(k => k));
        // The base method removes the 180 smallest, the second step 20 negative ones of the rest.
        int[] second = [.. Enumerable.Range(0, 1000).Where(i => after180[i] && !kept[i])];
        Assert.Equal(20, second.Length);
        Assert.All(second, i => Assert.True(trained[i] < 0));
        float furthest = second.Max(i => MathF.Abs(trained[i] - start[i]));
        Assert.All(Enumerable.Range(0, 1000).Where(i => kept[i] && trained[i] < 0), i => Assert.True(MathF.Abs(trained[i] - start[i]) >= furthest));
        Assert.NotEqual(without, kept);
    }

    [Fact]
    public void Where_negative_weights_run_out_the_base_method_takes_the_rest()
    {
        float[] trained = [.. Enumerable.Range(0, 100).Select(i => i < 3 ? -1f - i : 0.01f + i * 0.01f)];
        bool[] kept = Prune(100, 80, 10, trained, new float[100])[0];
        Assert.Equal(80, kept.Count(k => k));
        Assert.All(Enumerable.Range(0, 3), i => Assert.False(kept[i]));
    }

    [Fact]
    public void Dead_neurons_worked_example()
    {
        Assert.Equal(0.75, DeadNeurons.RateOf([0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0.5f, 0]));
        var model = new TrainableModel(Make.Network());
        PruningTarget target = PruningTarget.Of(model);
        DeadNeurons before = DeadNeurons.Measure(model, Make.Loader(), 2);
        Assert.Equal(0, before.Static);
        Assert.InRange(before.Rate, 0.05, 0.95);
        // Without any incoming weight a channel is dead, or constant, for reasons that no input changes.
        PrunableLayer conv = target.Layers.First(l => l.Name == "conv2.weight");
        bool[] kept = [.. Enumerable.Range(0, conv.Length).Select(i => i / conv.Columns != 0)];
        target.SetMask(conv, conv.MaskFromMatrix(kept));
        model.Parameter("bn2.bias").Value.Values[0] = -1;
        model.Parameter("bn2.bias").TouchValues();
        DeadNeurons after = DeadNeurons.Measure(model, Make.Loader(), 2);
        Assert.True(after.Static > 0 && after.Static <= after.Rate);
    }

    [Fact]
    public void Removing_a_negative_weight_wakes_units_that_see_positive_inputs()
    {
        float[] weights = Make.Random(64, 3), inputs = [.. Make.Random(800, 4).Select(MathF.Abs)];
        double Rate(float[] w)
        {
            var outputs = new List<float>();
            for (int s = 0; s < 100; s++)
            {
                for (int u = 0; u < 8; u++)
                {
                    float sum = 0;
                    for (int i = 0; i < 8; i++) sum += w[u * 8 + i] * inputs[s * 8 + i];
                    outputs.Add(MathF.Max(0, sum));
                }
            }
            return DeadNeurons.RateOf([.. outputs]);
        }
        double rate = Rate(weights);
        foreach (int i in Enumerable.Range(0, 64).Where(i => weights[i] < 0).ToArray())
        {
            weights[i] = 0;
            double next = Rate(weights);
            Assert.True(next <= rate);
            rate = next;
        }
    }

    [Fact]
    public void The_program_reaches_its_density_and_without_a_share_is_iterative_magnitude_pruning()
    {
        var data = new DataSource("shapes", "procedural", Make.Pictures(), null);
        (TrainableModel Model, PruningResult Result) Go(TrainingProgram program)
        {
            var model = new TrainableModel(Make.Network());
            return (model, program.Run(new ProgramRun(program, model, new ProgramOptions { Plan = new TrainingPlan { Steps = 8, BatchSize = 20, Seed = 3 }, Data = data })));
        }
        var settings = new PruningSettings { Sparsity = 0.8, Bounds = LayerBounds.None };
        (TrainableModel ap, PruningResult result) = Go(new ActivatingTickets(settings, 3, 0));
        (TrainableModel imp, _) = Go(new LotteryTicket(settings, 3, global: true));
        Assert.Equal(Math.Round(result.Total * 0.2), result.Kept);
        foreach (Parameter p in imp.Parameters) Near.BitEqual(p.Value.Values, ap.Parameter(p.Name).Value.Values, p.Name);
        (TrainableModel other, PruningResult spent) = Go(new ActivatingTickets(settings, 3, 0.3));
        Assert.Equal(result.Kept, spent.Kept);
        Assert.Contains(other.Parameters, p => p.Mask is { } m && !m.Equals(imp.Parameter(p.Name).Mask));
    }
}
