using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis;
using Sparseland.Training.Data;
using Sparseland.Training.Data.Corruptions;

namespace Sparseland.Pruning.Tests.Analysis;

public class FeatureGeometryTests
{
    private static readonly InputNormalization s_normalization = new([0.5f], [0.25f]);

    [Fact]
    public void The_worked_example_of_the_card()
    {
        var head = new ClassifierHead("f", [1, 0, 0, 1], [0, 0]);
        SampleGeometry first = FeatureGeometry.Of(head, [3, 4], 0), second = FeatureGeometry.Of(head, [3, 4], 1);
        Assert.Equal(5, first.Length, 12);
        Assert.Equal(53.1301, first.Degrees, 4);
        Assert.Equal(36.8699, second.Degrees, 4);
        Assert.Equal(-0.707107, first.Margin, 6);
        Assert.Equal(0.707107, second.Margin, 6);
        Assert.False(first.IsCorrect);
        Assert.True(second.IsCorrect);
    }

    [Fact]
    public void Values_agree_with_an_independent_implementation()
    {
        foreach (System.Text.Json.JsonElement e in Golden.Data.GetProperty("geometry").EnumerateArray())
        {
            var head = new ClassifierHead("f", Golden.Singles(e.GetProperty("w")), Golden.Singles(e.GetProperty("b")));
            SampleGeometry g = FeatureGeometry.Of(head, Golden.Singles(e.GetProperty("f")), e.GetProperty("target").GetInt32());
            Assert.Equal(e.GetProperty("degrees").GetDouble(), g.Degrees, 7);
            Assert.Equal(e.GetProperty("length").GetDouble(), g.Length, 7);
            Assert.Equal(e.GetProperty("margin").GetDouble(), g.Margin, 7);
            Assert.Equal(e.GetProperty("predicted").GetInt32(), g.Predicted);
        }
    }

    [Fact]
    public void The_sign_of_the_margin_says_whether_it_is_correct_and_scaling_features_scales_length_and_margin()
    {
        for (long seed = 0; seed < 100; seed++)
        {
            float[] w = Make.Random(4 * 5, seed), f = Make.Random(5, seed + 1000), none = new float[4], b = Make.Random(4, seed + 2000);
            int target = (int)(seed % 4);
            SampleGeometry biased = FeatureGeometry.Of(new ClassifierHead("f", w, b), f, target);
            Assert.Equal(biased.IsCorrect, biased.Margin > 0);
            SampleGeometry plain = FeatureGeometry.Of(new ClassifierHead("f", w, none), f, target), scaled = FeatureGeometry.Of(new ClassifierHead("f", w, none), [.. f.Select(v => 3 * v)], target);
            Assert.Equal(plain.Degrees, scaled.Degrees, 1e-4);
            Assert.Equal(3 * plain.Length, scaled.Length, 1e-5);
            Assert.Equal(3 * plain.Margin, scaled.Margin, 1e-5);
            // Rotating features and directions together (in two planes) changes nothing.
            double c = Math.Cos(seed), s = Math.Sin(seed);
            float[] Turn(float[] rows) => [.. rows.Chunk(5).SelectMany(r => (float[])[(float)(c * r[0] - s * r[1]), (float)(s * r[0] + c * r[1]), r[2], (float)(c * r[3] - s * r[4]), (float)(s * r[3] + c * r[4])])];
            SampleGeometry turned = FeatureGeometry.Of(new ClassifierHead("f", Turn(w), b), Turn(f), target);
            Assert.Equal(biased.Degrees, turned.Degrees, 1e-4);
            Assert.Equal(biased.Length, turned.Length, 1e-5);
            Assert.Equal(biased.Margin, turned.Margin, 1e-5);
        }
    }

    [Fact]
    public void The_head_of_a_network_gives_its_logits_and_accuracy()
    {
        ModelGraph graph = Make.Network(3);
        PictureDataset data = Make.Pictures(60);
        ClassifierHead head = ClassifierHead.Find(graph);
        Assert.Equal((10, 16), (head.Classes, head.Features));
        // Measure checks the identity of the logits for every sample.
        SampleGeometry[] samples = FeatureGeometry.Measure(graph, data, s_normalization);
        var evaluation = Sparseland.Training.Runs.Evaluator.Evaluate(new Sparseland.Training.TrainableModel(graph), data, new Sparseland.Training.Runs.EvaluationOptions { Normalization = s_normalization });
        Assert.Equal(evaluation.Top1, samples.Count(s => s.IsCorrect) / 60.0, 12);
        Assert.All(samples, s => Assert.Equal(s.IsCorrect, s.Margin > 0));
        double[] angles = head.ClassAngles();
        for (int a = 0; a < 10; a++)
        {
            Assert.Equal(0, angles[a * 10 + a]);
            for (int b = 0; b < 10; b++) Assert.Equal(angles[a * 10 + b], angles[b * 10 + a]);
        }
    }

    [Fact]
    public void A_model_without_a_linear_end_is_refused()
    {
        var g = new GraphBuilder("open", 1);
        Value x = g.Input("image", ElementType.Float32, Dimension.Named("batch"), 1, 12, 12);
        ModelGraph graph = g.Output("y", g.Relu(g.Linear(g.Flatten(x), "fc", 10))).Build();
        Assert.Equal("SL4022", Assert.Throws<PruningException>(() => ClassifierHead.Find(graph)).Code);
    }

    [Fact]
    public void Identical_models_agree_everywhere_and_conditions_are_repeatable()
    {
        ModelGraph graph = Make.Network(3), other = Make.Network(4);
        IReadOnlyList<Corruption> corruptions = CorruptionCatalog.Parse("gaussian-noise,contrast");
        RobustnessStudy study = RobustnessStudy.Measure([("a", graph), ("same", graph.Clone()), ("b", other)], Make.Pictures(40), s_normalization, corruptions, [5, 1], seed: 4);
        Assert.Equal(["clean", "gaussian-noise 1", "gaussian-noise 5", "contrast 1", "contrast 5"], study.Conditions.Select(c => c.ToString()));
        foreach (RobustnessCondition c in study.Conditions)
        {
            Assert.Equal(1, study.Agreement("a", "same", c));
            Assert.Equal(study.Cell("a", c).Samples, study.Cell("same", c).Samples);
            Assert.Equal(study.Agreement("a", "b", c), study.Agreement("b", "a", c));
        }
        FragilityCounts self = study.Fragility("same");
        Assert.Equal((0, 0), (self.FragileToPruning, self.FragileToBoth));
        Assert.Equal(40, self.Robust + self.FragileToCorruption + self.Others);
        FragilityCounts b = study.Fragility("b");
        Assert.Equal(40, b.Robust + b.FragileToPruning + b.FragileToCorruption + b.FragileToBoth + b.Others);
        (IReadOnlyList<string> ids, double[] redundancy) = study.Redundancy("a");
        Assert.Equal(["gaussian-noise", "contrast"], ids);
        Assert.Equal(1, redundancy[0]);
        Assert.Equal(redundancy[1], redundancy[2], 12);
        RobustnessStudy again = RobustnessStudy.Measure([("a", graph)], Make.Pictures(40), s_normalization, corruptions, [1, 5], seed: 4);
        Assert.Equal(study.Cell("a", study.Conditions[2]).Samples, again.Cell("a", again.Conditions[2]).Samples);
    }
}
